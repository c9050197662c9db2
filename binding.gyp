{
  "variables": {"strict%": "false", "static_keeper%": "false"},
  "target_defaults": {
    "cflags_cc!": ["-std=gnu++20", "-O3"],
    "cflags_cc": ["-std=c++17", "-O2", "-fno-exceptions", "-fvisibility=hidden", "-Wall", "-Wextra"],
    "conditions": [["strict=='true'", {"cflags_cc": ["-Werror"]}]]
  },
  "targets": [
    {
      "target_name": "d4c-gate-keeper",
      "type": "executable",
      "sources": [
        "src/native/units/a_to_e.cc",
        "src/native/units/f_to_g.cc",
        "src/native/units/h_to_j.cc",
        "src/native/units/k_to_p.cc",
        "src/native/units/r_to_v.cc"
      ],
      "cflags_cc": ["-ffunction-sections", "-fdata-sections"],
      "ldflags": ["-Wl,--gc-sections"],
      "conditions": [
        ["static_keeper=='true'", {"ldflags": ["-static-pie"]}, {"ldflags": ["-static-libstdc++", "-static-libgcc"]}]
      ]
    },
    {
      "target_name": "d4c_gate",
      "sources": ["src/native/units/addon.cc"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["NAPI_VERSION=9", "NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS", "NODE_ADDON_API_DISABLE_DEPRECATED"]
    }
  ]
}
