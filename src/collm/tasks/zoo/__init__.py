"""PettingZoo both ways: any task as a ``ParallelEnv``, and a task from any PettingZoo environment."""

from __future__ import annotations

from collm.errors import ConfigError

try:
    import gymnasium  # noqa: F401
    import pettingzoo  # noqa: F401
except ImportError as error:
    raise ConfigError("PettingZoo needs the extra 'pettingzoo': pip install 'collm[pettingzoo]'.") from error

from collm.tasks.zoo.env_task import EnvTask, from_parallel_env
from collm.tasks.zoo.task_env import TaskEnv, as_parallel_env

__all__ = ["EnvTask", "TaskEnv", "as_parallel_env", "from_parallel_env"]
