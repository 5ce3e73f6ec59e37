"""The table of all faults."""

from chaos import database_faults, exchange_faults, network_faults, process_faults, stream_faults
from chaos.fault import Fault

FAULTS: dict[str, Fault] = {
    fault.kind.name: fault
    for fault in [
        *process_faults.FAULTS,
        *database_faults.FAULTS,
        *stream_faults.FAULTS,
        *exchange_faults.FAULTS,
        *network_faults.FAULTS,
    ]
}
