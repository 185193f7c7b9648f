"""A sink from what the settings say."""

from pathlib import Path

from serving.contract.documents import ContractError
from serving.log.shipping.directory import DirectorySink
from serving.log.shipping.kafka import KafkaSink
from serving.log.shipping.sink import Sink


def open_sink(destination: str, kafka_configuration: Path | None = None) -> Sink:
    """The sink that a destination names.

    Parameters
    ----------
    destination
        ``directory:/mnt/archive/log`` or ``kafka:host1:9092,host2:9092/topic``.
    kafka_configuration
        File with more of librdkafka's settings, ``name=value`` a line, for TLS and SASL.

    Raises
    ------
    ContractError
        If it names neither, or the sink cannot be made.
    """
    kind, _, rest = destination.partition(":")
    if kind == "directory" and rest:
        return DirectorySink(Path(rest))
    brokers, _, topic = rest.rpartition("/")
    if kind == "kafka" and brokers and topic:
        configuration = {} if kafka_configuration is None else read_properties(kafka_configuration)
        return KafkaSink(brokers, topic, configuration=configuration)
    raise ContractError(
        "Expected a destination as directory:/folder or kafka:host:9092/topic, got another - at the shipping settings"
    )


def read_properties(path: Path) -> dict[str, str]:
    """The settings in a file of ``name=value`` lines; empty lines and those that begin with ``#`` are passed over.

    Raises
    ------
    ContractError
        If it cannot be read, or a line is none; the line is named by its number, since it may hold a secret.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"Expected a file of settings, got {type(error).__name__} - at {path}") from None
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise ContractError(f"Expected name=value - at {path}, line {number}")
        found[name.strip()] = value.strip()
    return found
