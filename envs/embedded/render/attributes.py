"""The sensors that look at geometry, with CARLA 0.9.16's attributes and defaults.

Attributes of lenses, exposure and film are there so that scripts can set them; they change nothing.
"""

_LENS = {
    "lens_circle_falloff": "5.0", "lens_circle_multiplier": "0.0", "lens_k": "-1.0",
    "lens_kcube": "0.0", "lens_x_size": "0.08", "lens_y_size": "0.08",
}  # fmt: skip
_CAMERA = {"image_size_x": "800", "image_size_y": "600", "fov": "90.0", **_LENS}
_FILM = {
    "enable_postprocess_effects": "true", "gamma": "2.2", "iso": "100.0", "fstop": "1.4",
    "shutter_speed": "200.0", "exposure_mode": "histogram", "exposure_compensation": "0.0",
    "exposure_min_bright": "10.0", "exposure_max_bright": "12.0", "exposure_speed_up": "3.0",
    "exposure_speed_down": "1.0", "calibration_constant": "16.0", "focal_distance": "1000.0",
    "blade_count": "5", "min_fstop": "1.2", "motion_blur_intensity": "0.45",
    "motion_blur_max_distortion": "0.35", "motion_blur_min_object_screen_size": "0.1",
    "bloom_intensity": "0.675", "lens_flare_intensity": "0.1", "slope": "0.88", "toe": "0.55",
    "shoulder": "0.26", "black_clip": "0.0", "white_clip": "0.04", "temp": "6500.0", "tint": "0.0",
    "chromatic_aberration_intensity": "0.0", "chromatic_aberration_offset": "0.0",
}  # fmt: skip
_LIDAR = {
    "channels": "32", "range": "10.0", "points_per_second": "56000", "rotation_frequency": "10.0",
    "upper_fov": "10.0", "lower_fov": "-30.0", "horizontal_fov": "360.0",
}  # fmt: skip

_EVENTS = {
    "positive_threshold": "0.3", "negative_threshold": "0.3", "sigma_positive_threshold": "0.0",
    "sigma_negative_threshold": "0.0", "refractory_period_ns": "0", "use_log": "true",
    "log_eps": "0.001", "noise_seed": "0",
}  # fmt: skip
_RADAR = {
    "horizontal_fov": "30.0", "vertical_fov": "30.0", "points_per_second": "1500",
    "range": "100.0", "noise_seed": "0",
}  # fmt: skip
_OBSTACLE = {
    "distance": "5.0", "hit_radius": "0.5", "only_dynamics": "false", "debug_linetrace": "false",
}  # fmt: skip
_LOSSES = {
    "atmosphere_attenuation_rate": "0.004", "dropoff_general_rate": "0.45",
    "dropoff_intensity_limit": "0.8", "dropoff_zero_intensity": "0.4", "noise_stddev": "0.0",
    "noise_seed": "0",
}  # fmt: skip

RENDERED: dict[str, dict[str, str]] = {
    "sensor.camera.rgb": {**_CAMERA, **_FILM},
    "sensor.camera.depth": _CAMERA,
    "sensor.camera.semantic_segmentation": _CAMERA,
    "sensor.camera.instance_segmentation": _CAMERA,
    "sensor.camera.normals": _CAMERA,
    "sensor.camera.cosmos_visualization": _CAMERA,
    "sensor.camera.optical_flow": _CAMERA,
    "sensor.camera.dvs": {**_CAMERA, **_FILM, **_EVENTS},
    "sensor.lidar.ray_cast": {**_LIDAR, **_LOSSES},
    "sensor.lidar.ray_cast_semantic": _LIDAR,
    "sensor.other.radar": _RADAR,
    "sensor.other.obstacle": _OBSTACLE,
}
"""Attributes of each sensor, with their defaults."""

WHOLE_NUMBERS = frozenset(
    {
        "image_size_x",
        "image_size_y",
        "blade_count",
        "channels",
        "points_per_second",
        "noise_seed",
        "refractory_period_ns",
    }
)
SWITCHES = frozenset({"enable_postprocess_effects", "only_dynamics", "debug_linetrace", "use_log"})
WORDS = frozenset({"exposure_mode"})
