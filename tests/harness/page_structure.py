"""What an HTML page consists of, and a text that must not change it."""

from html.parser import HTMLParser

INJECTION = "</td></table><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}{% raw %}"


class Structure(HTMLParser):
    """Tags, names and values of attributes, and texts of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.values: dict[str, list[str]] = {}
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        for name, value in attrs:
            self.values.setdefault(name, []).append(value or "")

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.append(data)
