"""Frames of the environments: text panels (`render_mode="ansi"`) and pictures (`render_mode="rgb_array"`)."""
