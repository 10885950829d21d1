"""A lifecycle node that survives its callbacks, answers every request, and leaves nothing behind."""

from __future__ import annotations

import functools
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.service import Service

from emotion_core.errors import EmotionError
from emotion_ros.base import qos
from emotion_ros.base.handover import Inlet, Outlet

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # its name on Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)
THROTTLE_S = 5.0
"""Between two lines of the log about the same matter."""


class ManagedNode(LifecycleNode, ABC):
    """A lifecycle node whose transitions are undone when they fail, and told why.

    rclpy swallows the exceptions of a transition, and lets those of a service or a topic end whatever spins the node.
    Here the first are logged and undone, and the others are logged: in one line for EmotionError, with the traceback
    for anything else, which is a defect. What is made with ``output``, ``input`` and ``timer`` is destroyed in time;
    nodes of one process hand over to each other what they publish, see handover.py.

    Args:
        name: of the node, unless it is remapped.
        options: of ``rclpy.node.Node``.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self._inputs: list[Inlet] = []
        self._outputs: list[Outlet] = []
        self._steady_timers: list[Any] = []
        self._answerers: list[Service] = []
        self.failure: Exception | None = None
        """Why the last transition failed."""
        super().__init__(name, **options)
        service = self._service_change_state
        service.callback = self._answering(service.callback)

    # ---- what a node supplies ------------------------------------------------------------------------------------

    @abstractmethod
    def configure(self) -> None:
        """Load and advertise; raises EmotionError when that cannot be."""

    @abstractmethod
    def activate(self) -> None:
        """Begin to work and to listen."""

    @abstractmethod
    def deactivate(self) -> None:
        """End what ``activate`` began, as far as it came; raises EmotionError when that cannot be."""

    @abstractmethod
    def forget(self) -> None:
        """Give up what ``configure`` made, as far as it came."""

    # ---- what it is made of --------------------------------------------------------------------------------------

    def output(self, kind: type, topic: str, profile: QoSProfile, always: bool = False, brief: bool = False) -> Outlet:
        """A publisher, gone after cleanup and shutdown; it publishes while the node is active, or always.

        Of one that does not publish always, ``qos_overrides`` may change the profile. Of a brief one, to be dropped
        while the node works, nobody is told when a subscriber asks for another quality of service: rclpy would keep a
        reference to what tells it for ever.
        """
        if always or brief:
            events = PublisherEventCallbacks(use_default_callbacks=False) if brief else None
            outlet = Outlet(self, self.create_publisher(kind, topic, profile, event_callbacks=events))
        else:
            profile, options = qos.overridable(profile)
            publisher = self.create_lifecycle_publisher(kind, topic, profile, qos_overriding_options=options)
            outlet = Outlet(self, publisher)
        self._outputs.append(outlet)
        return outlet

    def input(
        self, kind: type, topic: str, callback: Callable[..., None], profile: QoSProfile, optional: bool = False
    ) -> Inlet:
        """Subscribe, until the node is deactivated.

        Args:
            kind, topic, profile: as ``create_subscription``.
            callback: with one argument; with two it also gets what rclpy knows about the message.
            optional: nobody is told when a publisher offers another quality of service, and it cannot be overridden.
        """
        if optional:
            given: dict[str, Any] = {"event_callbacks": SubscriptionEventCallbacks(incompatible_qos=lambda _: None)}
        else:
            profile, options = qos.overridable(profile)
            given = {"qos_overriding_options": options}
        inlet = Inlet(self, kind, topic, self._guarded(callback), profile, **given)
        self._inputs.append(inlet)
        return inlet

    def drop(self, entity: Outlet | Inlet) -> None:
        """Destroy an output or an input before its time."""
        if isinstance(entity, Outlet) and entity in self._outputs:
            self._outputs.remove(entity)
            self.destroy_lifecycle_publisher(entity.publisher)  # type: ignore[arg-type]  # takes either kind
        elif isinstance(entity, Inlet) and entity in self._inputs:
            self._inputs.remove(entity)
            entity.destroy()

    def timer(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call it until cleanup, by a clock that goes on: a simulated one may stand still."""
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self._steady_timers.append(self.create_timer(period_s, self._guarded(callback), clock=clock))

    def service(self, kind: type, name: str, answer: Callable[[Any], str]) -> None:
        """Answer requests until cleanup.

        Args:
            kind: of service; its response has ``success`` and ``message``.
            name: of the service.
            answer: gets the request and returns what to say; EmotionError says why it cannot be done.
        """

        def reply(request: Any, response: Any) -> Any:
            try:
                response.message, response.success = answer(request), True
            except Exception as error:
                response.message, response.success = str(error), False
                if not isinstance(error, EmotionError):
                    self.get_logger().error(f"a service failed: {explain(error)}", throttle_duration_sec=THROTTLE_S)
            return response

        self._answerers.append(self.create_service(kind, name, reply))

    @property
    def state(self) -> str:
        """Where in its life the node is: unconfigured, inactive, active, finalized, or a transition's name."""
        return str(self._state_machine.current_state[1])

    # ---- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Configure and activate, as a lifecycle manager would.

        Raises what went wrong: EmotionError when it can be mended, else whatever it was.
        """
        for doing, trigger in (("configured", self.trigger_configure), ("activated", self.trigger_activate)):
            if trigger() != SUCCESS:
                if self.failure is None or isinstance(self.failure, EmotionError):
                    raise EmotionError(f"could not be {doing}: {self.failure}")
                raise self.failure

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unconfigured to inactive."""
        return self._attempt("configured", self.configure, self._release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Inactive to active."""

        def activate() -> None:
            super(ManagedNode, self).on_activate(state)  # first: the first message may be worked on at once
            self.activate()

        def undo() -> None:
            self._quieten()
            super(ManagedNode, self).on_deactivate(state)

        return self._attempt("activated", activate, undo)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Active to inactive; an error, and so unconfigured, when the work cannot be ended."""
        done = self._attempt("deactivated", self._end_work, lambda: None) == SUCCESS
        super().on_deactivate(state)
        return SUCCESS if done else ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Inactive to unconfigured."""
        self._release()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Any state to finalized."""
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition that could not be undone leads here: start anew, unconfigured."""
        self._release()
        return SUCCESS

    def destroy_node(self) -> None:
        """End the work before its publishers go away."""
        self._release()
        super().destroy_node()

    def _end_work(self) -> None:
        """First nothing more comes, then what is at work is finished."""
        while self._inputs:
            self._inputs.pop().destroy()
        self.deactivate()

    def _quieten(self) -> None:
        """End the work, whatever there is of it."""
        try:
            self._end_work()
        except Exception as error:
            self.get_logger().error(f"could not end its work: {explain(error)}")

    def _release(self) -> None:
        """Leave nothing behind, from any state."""
        self._quieten()
        while self._steady_timers:
            self.destroy_timer(self._steady_timers.pop())
        while self._answerers:
            self.destroy_service(self._answerers.pop())
        while self._outputs:
            publisher = self._outputs.pop().publisher
            self.destroy_lifecycle_publisher(publisher)  # type: ignore[arg-type]  # takes either kind
        self.forget()

    def _attempt(self, doing: str, step: Callable[[], None], undo: Callable[[], None]) -> TransitionCallbackReturn:
        """Make a step of the life cycle, or undo what was made of it and say why."""
        self.failure = None
        try:
            step()
        except Exception as error:
            self.failure = error
            self.get_logger().error(f"could not be {doing}: {explain(error)}")
            undo()
            return FAILURE
        return SUCCESS

    def _answering(self, change: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        """The service that changes states, made to answer also when the change is not possible."""

        def answer(request: Any, response: Any) -> Any:
            try:
                return change(request, response)
            except Exception as error:  # rclpy raises what rcl refuses
                wanted = request.transition.label or request.transition.id
                reason = str(error).partition(", at ")[0]
                self.get_logger().warning(f"no transition {wanted} from the state {self.state}: {reason}")
                response.success = False
                return response

        return answer

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """A callback whose exception ends neither the executor nor the other nodes that it spins."""

        @functools.wraps(callback)  # rclpy looks at the arguments that it takes
        def call(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                self.get_logger().error(f"a callback failed: {explain(error)}", throttle_duration_sec=THROTTLE_S)

        return call


def explain(error: Exception) -> str:
    """What a person is meant to read: one line for what can be mended, everything for a defect."""
    if isinstance(error, EmotionError):
        return str(error)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()
