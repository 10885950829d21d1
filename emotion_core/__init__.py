"""Estimate emotions from faces: models, training and evaluation, without ROS."""

import os

# ONNX Runtime from 1.29 on makes an id of this device, keeps a store of events under ~/.cache and looks its maker's
# telemetry host up, unless this stands before its first import. Every import of this library passes here.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
