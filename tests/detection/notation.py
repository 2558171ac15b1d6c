"""The notation of tensor listings.

A listing is a list of lines `name dim dim …`; `{0-18}` in a name stands for every number of the range and `{q,k,v}`
for every alternative, so that a network of a thousand tensors is a page of text. A type that differs from the file's stands
behind the name: `scaled_fp8:F8_E4M3 2`.
"""



class Listing:
    """Lines of tensors, written layer by layer."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def tensor(self, name: str, *shape: int) -> "Listing":
        self.lines.append(" ".join([name, *map(str, shape)]))
        return self

    def linear(self, name: str, outputs: int, inputs: int, bias: bool = True) -> "Listing":
        self.tensor(f"{name}.weight", outputs, inputs)
        return self.tensor(f"{name}.bias", outputs) if bias else self

    def conv(self, name: str, outputs: int, inputs: int, *kernel: int, bias: bool = True) -> "Listing":
        self.tensor(f"{name}.weight", outputs, inputs, *kernel)
        return self.tensor(f"{name}.bias", outputs) if bias else self

    def norm(self, name: str, width: int, bias: bool = True) -> "Listing":
        self.tensor(f"{name}.weight", width)
        return self.tensor(f"{name}.bias", width) if bias else self

    def add(self, other: "Listing", prefix: str = "") -> "Listing":
        self.lines += [prefix + line for line in other.lines]
        return self


def span(count: int) -> str:
    return "{0-%d}" % (count - 1)
