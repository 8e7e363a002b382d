"""The codec's shapes: presets, its parts, and how their fields are checked."""
