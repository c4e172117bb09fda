"""What is planted in the embedded server."""

from faults.fault import Fault

FAULTS = [
    Fault(
        "steering turns the other way", "envs/embedded/dynamics.py",
        "angle = car.steer *", "angle = -car.steer *", "unit/envs_embedded/test_dynamics.py",
    ),
    Fault(
        "a braked vehicle drives backwards", "envs/embedded/dynamics.py",
        "max(abs(value) - amount, 0.0)", "abs(value) - amount",
        "unit/envs_embedded/test_dynamics.py",
    ),
    Fault(
        "wet roads grip like dry ones", "envs/embedded/simulator.py",
        "kept_grip(parameters) if self.has_wet_grip else DRY", "DRY",
        "unit/envs_embedded/test_wet_roads.py",
    ),
    Fault(
        "a vehicle tips over its inner wheels", "envs/embedded/tuning.py",
        "max(over * (half_track + y), 0.0)", "max(over * (half_track - y), 0.0)",
        "unit/envs_embedded/test_physics_control.py",
    ),
    Fault(
        "an engine has no inertia", "envs/embedded/dynamics.py",
        "(car.mass + tuning.inertia * ratio * ratio)", "car.mass",
        "unit/envs_embedded/test_physics_control.py",
    ),
    Fault(
        "a kerb jolts on all of a sidewalk", "envs/embedded/kerbs.py",
        "if before >= 0:", "if before >= 1 << 30:",
        "unit/envs_embedded/test_hazards.py",
    ),
    Fault(
        "whatever was touched is a building", "envs/embedded/simulator.py",
        "tag = int(town.static_tags[place])", "tag = 3", "unit/envs_embedded/test_hazards.py",
    ),
    Fault(
        "the sun shines through houses", "envs/embedded/render/paint.py",
        "facing *= 1.0 - shadow", "facing *= 1.0",
        "unit/envs_embedded/test_render_shadows.py",
    ),
    Fault(
        "fog is as thick above as on the ground", "envs/embedded/render/weather.py",
        "thins = max(weather[FOG_FALLOFF], 0.0)", "thins = 0.0",
        "unit/envs_embedded/test_render_weather.py",
    ),
    Fault(
        "wind leaves rain upright", "envs/embedded/render/rain.py",
        "wind_mps * DOWNWIND[1], -FALL_MPS", "0.0, -FALL_MPS",
        "unit/envs_embedded/test_render_weather.py",
    ),
    Fault(
        "street lamps shine that are off", "envs/embedded/render/lanterns.py",
        "if state[5] and post not in", "if post not in",
        "unit/envs_embedded/test_render_lamplight.py",
    ),
    Fault(
        "beams shine through houses and vehicles", "envs/embedded/render/lamplight.py",
        "if b == lamps[i, OWNER] or", "if b >= 0 or",
        "unit/envs_embedded/test_render_lamplight.py",
    ),
    Fault(
        "a signal without lanes holds those that lead the other way",
        "envs/embedded/town_signals.py", '(signal.orientation == "+") == (lane > 0)',
        '(signal.orientation == "-") == (lane > 0)', "unit/envs_embedded/test_town_signals.py",
    ),
    Fault(
        "two directions are green at once", "envs/embedded/lights.py",
        "shown = junction.stage if light.turn == junction.phase else RED",
        "shown = junction.stage", "unit/envs_embedded/test_lights.py",
    ),
    Fault(
        "the snapshot's time and step change places", "envs/embedded/wire.py",
        "_SNAPSHOT.pack(episode, platform_s, dt_s,", "_SNAPSHOT.pack(episode, dt_s, platform_s,",
        "unit/envs_embedded/test_wire.py",
    ),
    Fault(
        "a camera's picture is mirrored", "envs/embedded/render/view.py",
        "[cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, -cp * sr],",
        "[sy * cr - cy * sp * sr, -sy * sp * sr - cy * cr, cp * sr],",
        "unit/envs_embedded/test_render_view.py unit/envs_embedded/test_render_raster.py",
    ),
    Fault(
        "depth has its bytes in the wrong order", "envs/embedded/render/pixels.py",
        "written[v, u, 0] = value >> 16", "written[v, u, 0] = value & 0xFF",
        "unit/envs_embedded/test_render_cameras.py",
    ),
    Fault(
        "a LiDAR's points are in the world's axes", "envs/embedded/render/lidar.py",
        'points[:, :3] = rays.direction * distance[:, None]',
        'points[:, :3] = rays.direction @ pose.axes() * distance[:, None]',
        "unit/envs_embedded/test_render_lidar.py contract/embedded_server/test_rays.py",
    ),
    Fault(
        "a slow subscriber keeps every frame", "envs/embedded/connections.py",
        "while self._queued > self.limits.max_queued_bytes and", "while False and",
        "contract/embedded_server/test_robustness.py",
    ),
    Fault(
        "a number that is not finite reaches the world", "envs/embedded/arguments.py",
        "is_finite and math.isfinite(sum(numbers))", "is_finite",
        "contract/embedded_server/test_robustness.py",
    ),
    Fault(
        "one broken command spoils its batch", "envs/embedded/procedures.py",
        "if method == BATCH:\n                result", "if not is_finite:\n                result",
        "contract/embedded_server/test_robustness.py",
    ),
    Fault(
        "a recording's changes are counted from the wrong tick",
        "envs/embedded/recorder/columns.py",
        "            self._before = words.copy()\n        return",
        "            pass\n        return",
        "unit/envs_embedded/test_recorder.py",
    ),
    Fault(
        "a replay is a tick late", "envs/embedded/recorder/replayer.py",
        "<= self._now_s + SAME_TIME_S:", "<= self._now_s - 0.04:",
        "unit/envs_embedded/test_recorder.py",
    ),
    Fault(
        "names lead out of the folder of recordings", "envs/embedded/recorder/folder.py",
        "not found.is_relative_to(folder)", "False", "unit/envs_embedded/test_recording_files.py",
    ),
    Fault(
        "a recording has no end", "envs/embedded/recorder/recorder.py",
        "self._writer.num_bytes >= self._max_bytes", "False",
        "unit/envs_embedded/test_recording_files.py",
    ),
    Fault(
        "an inertial unit feels no centripetal acceleration", "envs/embedded/inertial.py",
        "- change * y - rate * rate * x", "- change * y", "unit/envs_embedded/test_inertial.py",
    ),
    Fault(
        "noise is the same in every tick", "envs/embedded/inertial.py",
        "world.frame - known.born", "0", "unit/envs_embedded/test_inertial.py",
    ),
    Fault(
        "only cameras move with their vehicle", "envs/embedded/world.py",
        'actor.parent and actor.kind.startswith("sensor.")',
        'actor.parent and actor.kind.startswith("sensor.camera.")',
        "unit/envs_embedded/test_inertial.py",
    ),
    Fault(
        "a look around overlooks vehicles that meet at an angle", "envs/embedded/touching.py",
        "abs(turned_sin) * box[2] + abs(turned_cos) * box[3] + other[3]",
        "abs(turned_cos) * box[3] + other[3]", "unit/envs_embedded/test_touching.py",
    ),
    Fault(
        "the world stands still while a navigation mesh is made",
        "envs/embedded/navigation/meshes.py", "made.process.poll() is None",
        "made.process.wait() is None", "contract/embedded_server/test_meshes.py",
    ),
    Fault(
        "a broken navigation mesh is given out", "envs/embedded/navigation/kept.py",
        "return mesh if hashlib.sha256(mesh).digest() == digest else None", "return mesh",
        "unit/envs_embedded/test_meshes.py",
    ),
    Fault(
        "all towns share a navigation mesh", "envs/embedded/navigation/files.py",
        'f"{_edition()} {town.xodr}"', 'f"{_edition()}"', "unit/envs_embedded/test_meshes.py",
    ),
    Fault(
        "a tick is made before it is answered", "envs/embedded/world_calls.py",
        "self.sim.begin_tick()", "self.sim.tick()", "unit/envs_embedded/test_answered_ticks.py",
    ),
    Fault(
        "rays meet houses that were taken away", "envs/embedded/render/look.py",
        "if self._scene.away is not away:", "if False:",
        "contract/embedded_server/test_environment.py",
    ),
    Fault(
        "a LiDAR turns from where one began to listen", "envs/embedded/render/eyes.py",
        "float(max(0, (world.frame - known.born - 1) // ticks))", "0.0",
        "unit/envs_embedded/test_listening.py",
    ),
    Fault(
        "a pose is shown whole", "envs/embedded/skeleton.py",
        "_part_of_turn(second.axes() @ axes.T, share)",
        "_part_of_turn(second.axes() @ axes.T, 1.0)", "unit/envs_embedded/test_skeleton.py",
    ),
]  # fmt: skip
