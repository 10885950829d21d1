"""What runs around nodes: processes, signals, logs, several nodes in one."""
