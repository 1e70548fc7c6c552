"""Rules of recurrent layers. Steps of time follow one another within a row; rows are the batch of the layer."""

from typing import Any

from torch import nn

from app.architecture.rowwise.forms import Form, Value, mixed
from app.architecture.rowwise.rules import Call, rank_of, rule
from app.architecture.rowwise.sizes import Whole, same

OWN_STATE = "each row has a state of its own"


@rule("layer.RNN", "input, hx=None, *, module", why=OWN_STATE)
def sequences(call: Call) -> Value:
    module: Any = call["module"]
    form, rows = call.form(), 0 if module.batch_first else 1
    batch = _batch(call, form, 3, rows)
    both = 2 if module.bidirectional else 1
    projected = module.proj_size or module.hidden_size
    for state in _states(call["hx"]):
        _check_state(call, state, 3, 1, batch)
    output = Form((*form.known(call.operation)[:2], both * projected))
    hidden = Form((both * module.num_layers, batch, projected))
    cell = Form((both * module.num_layers, batch, module.hidden_size))
    return output, (hidden, cell) if isinstance(module, nn.LSTM) else hidden


@rule("layer.RNNCell", "input, hx=None, *, module", why=OWN_STATE)
def steps(call: Call) -> Value:
    module: Any = call["module"]
    batch = _batch(call, call.form(), 2, 0)
    for state in _states(call["hx"]):
        _check_state(call, state, 2, 0, batch)
    hidden = Form((batch, module.hidden_size))
    return (hidden, hidden) if isinstance(module, nn.LSTMCell) else hidden


def _batch(call: Call, form: Form, rank: int, rows: int) -> Whole:
    """The size of the batch, which must be the rows. Without a batch the first dimension means something else."""
    if rank_of(form) != rank or form.rows != rows:
        where = f"{rank} dimensions and the rows in dimension {rows}"
        hint = ' (write "batch_first": true)' if rank == 3 and rows == 1 and form.rows == 0 else ""
        mixed(call.operation, f"keeps sequences apart of an input with {where}{hint}")
    return form.known(call.operation)[rows]


def _states(given: Value) -> tuple[Value, ...]:
    if given is None:
        return ()
    return given if isinstance(given, tuple) else (given,)


def _check_state(call: Call, state: Value, rank: int, rows: int, batch: Whole) -> None:
    if not isinstance(state, Form) or rank_of(state) != rank or state.rows != rows:
        mixed(call.operation, f"needs states that hold the rows in dimension {rows}")
    if not same(state.known(call.operation)[rows], batch):
        mixed(call.operation, "needs a state for each sequence")
