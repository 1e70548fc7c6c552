"""The kinds of jobs there are, each bound to what writes its answer: the table that `app.main` hands to the runner.

A new kind is an entry here, and an attempt among the services (see `app.services.job_context`).
"""

from functools import partial

from app.api.routes import forward, gradients, initialize, states, training
from app.services.forward_later import forward_later
from app.services.gradients import backward_later
from app.services.initialize import initialize_later
from app.services.job_context import Kinds
from app.services.states_later import load_later
from app.services.training import train

KINDS: Kinds = {
    "backward": partial(backward_later, render=gradients.render),
    "forward": partial(forward_later, render=forward.render),
    "initialize": partial(initialize_later, render=initialize.render),
    "state_dict": partial(load_later, render=states.render),
    "train": partial(train, render=training.render),
}
