"""The sink that the shipping settings name."""

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
        File with further librdkafka settings, one ``name=value`` per line, for TLS and SASL.

    Raises
    ------
    ContractError
        If the destination is not of one of these forms, or the sink cannot be created.
    """
    kind, _, rest = destination.partition(":")
    if kind == "directory" and rest:
        return DirectorySink(Path(rest))
    brokers, _, topic = rest.rpartition("/")
    if kind == "kafka" and brokers and topic:
        configuration = {} if kafka_configuration is None else read_properties(kafka_configuration)
        return KafkaSink(brokers, topic, configuration=configuration)
    raise ContractError(
        "Expected a destination like directory:/folder or kafka:host:9092/topic, got another form "
        "- at the shipping settings"
    )


def read_properties(path: Path) -> dict[str, str]:
    """The settings in a file of ``name=value`` lines; empty lines and comments (``#``) are skipped.

    Raises
    ------
    ContractError
        If the file cannot be read or a line has another form; the message holds only the line's number, because the
        line may hold a secret.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"Expected a readable settings file, got {type(error).__name__} - at {path}") from None
    properties = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, separator, value = line.partition("=")
        if not separator or not name.strip():
            raise ContractError(f"Expected name=value - at {path}, line {number}")
        properties[name.strip()] = value.strip()
    return properties
