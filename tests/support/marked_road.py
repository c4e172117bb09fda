"""A road in OpenDRIVE, with a mark, a crossing and two speed limits, one of them as an object."""

LINE = 'sOffset="0" weight="standard"'
LANE = '<lane id="{}" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
ROAD = f"""<OpenDRIVE><header revMajor="1" revMinor="4">
<geoReference>+proj=tmerc +lat_0=0 +lon_0=0</geoReference></header>
<road name="" length="100" id="1" junction="-1"><link/>
<planView><geometry s="0" x="0" y="0" hdg="0" length="100"><line/></geometry></planView>
<elevationProfile><elevation s="0" a="0" b="0" c="0" d="0"/></elevationProfile>
<lanes><laneSection s="0">
<left>{LANE.format(1)}
<roadMark {LINE} type="solid" color="white" width="0.15" laneChange="none"/></lane></left>
<center><lane id="0" type="none" level="false">
<roadMark {LINE} type="broken" color="yellow" width="0.25" laneChange="both"/></lane></center>
<right>{LANE.format(-1)}
<roadMark {LINE} type="broken" color="white" width="0.15" laneChange="both"/></lane>
{LANE.format(-2)}
<roadMark {LINE} type="solid" color="white" width="0.15" laneChange="none"/></lane></right>
</laneSection></lanes>
<objects>
<object id="7" name="Stencil_ARROW_L" type="-1" s="20" t="-1.5" zOffset="0.25" hdg="0.5"
 pitch="0.125" roll="0.0625" orientation="+" width="1" length="2"/>
<object id="8" name="Crossing" type="crosswalk" s="50" t="0" zOffset="0" hdg="0" pitch="0" roll="0"
 orientation="none" width="4" length="14"><outline><cornerLocal u="-2" v="-7" z="0"/>
<cornerLocal u="2" v="-7" z="0"/><cornerLocal u="2" v="7" z="0"/><cornerLocal u="-2" v="7" z="0"/>
<cornerLocal u="-2" v="-7" z="0"/></outline></object>
<object id="11" name="Speed_30" type="-1" s="60" t="5" zOffset="0" hdg="0" orientation="+"/>
</objects>
<signals><signal id="9" name="Limit" s="30" t="-5" zOffset="1.5" dynamic="no" country="OpenDRIVE"
 type="274" subtype="50" value="50" unit="km/h" orientation="+" height="0.75" width="0.5"
 hOffset="0.25" pitch="0.125" roll="0.0625" text="fifty"><validity fromLane="-2" toLane="-1"/>
</signal></signals></road></OpenDRIVE>"""
