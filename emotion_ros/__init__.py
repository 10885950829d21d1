"""ROS 2 nodes of emotion_perception: messages in, emotion_core called, messages out."""
