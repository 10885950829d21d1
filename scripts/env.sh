# The environment of the ROS 2 that `make setup` made. To be sourced (sh, bash, zsh) with EMOTION_ROOT set to the
# checkout; scripts/run does so for one command, and install/setup.bash for a shell.

# A ROS that was sourced before would be mixed into this one, in which nothing of it can be loaded.
if [ -n "${AMENT_PREFIX_PATH:-}" ]; then
  unset AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH PKG_CONFIG_PATH PYTHONPATH
  PATH=$(printf %s "$PATH" | tr : '\n' | grep -v '^/opt/ros/' | paste -s -d : -)
fi
unset PYTHONHOME

EMOTION_VENV=$EMOTION_ROOT/.venv
EMOTION_OVERLAY=$EMOTION_ROOT/install/emotion_perception
# The one folder python3.<minor> of the virtual environment.
for EMOTION_SITE in "$EMOTION_VENV"/lib/python3.*/site-packages; do :; done
EMOTION_PYTHON=${EMOTION_SITE#"$EMOTION_VENV"/}

export VIRTUAL_ENV="$EMOTION_VENV"
case ":$PATH:" in
  *":$EMOTION_VENV/bin:"*) ;;
  *) export PATH="$EMOTION_VENV/bin:$PATH" ;;
esac
export AMENT_PREFIX_PATH="$EMOTION_OVERLAY:$EMOTION_VENV"
export CMAKE_PREFIX_PATH="$EMOTION_OVERLAY:$EMOTION_VENV"
export PYTHONPATH="$EMOTION_OVERLAY/$EMOTION_PYTHON${PYTHONPATH:+:$PYTHONPATH}"

# The wheels' libraries lie in lib/ and, those bundled by auditwheel, in ros_*.libs/. Python would find that out by
# itself and start a second time; with the mark it need not.
LD_LIBRARY_PATH="$EMOTION_OVERLAY/lib:$EMOTION_VENV/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
for EMOTION_SITE in "$EMOTION_SITE"/ros_*.libs; do
  LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$EMOTION_SITE
done
export LD_LIBRARY_PATH
export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1

export ROS_DISTRO=jazzy ROS_VERSION=2 ROS_PYTHON_VERSION=3
# The only middleware among the wheels.
export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
# Nothing leaves the machine unless asked to.
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
# Images arrive whole between processes.
export FASTRTPS_DEFAULT_PROFILES_FILE="${FASTRTPS_DEFAULT_PROFILES_FILE:-$EMOTION_ROOT/config/fastdds_shm.xml}"

unset EMOTION_SITE EMOTION_PYTHON EMOTION_OVERLAY EMOTION_VENV
