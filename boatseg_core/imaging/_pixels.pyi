import numpy as np
import numpy.typing as npt

DECODERS: int
INTERFACE: int

def measure(
    pixels: npt.NDArray[np.uint8],
    width: int,
    height: int,
    bytes_per_pixel: int,
    cells: npt.NDArray[np.uint8],
    histogram: npt.NDArray[np.uint32],
) -> tuple[int, int, int, int, int, int, int]: ...
def measure_jpeg(
    data: bytes,
    width: int,
    height: int,
    cells: npt.NDArray[np.uint8],
    histogram: npt.NDArray[np.uint32],
) -> tuple[int, int, int, int, int, int, int] | None: ...
def decode(
    data: bytes,
    width: int,
    height: int,
    left: int,
    top: int,
    box_width: int,
    box_height: int,
    halved: bool,
    pixels: npt.NDArray[np.uint8],
    kind: int = ...,
    /,
) -> bool: ...
def fingerprints(
    cells: npt.NDArray[np.uint8],
    rows: int,
    columns: int,
    pairs: npt.NDArray[np.uint16],
    least_energy: int,
    prints: npt.NDArray[np.uint8],
) -> None: ...
def reduced(
    planes: npt.NDArray[np.uint8],
    rows: int,
    columns: int,
    cells: npt.NDArray[np.uint8],
    histogram: npt.NDArray[np.uint32],
) -> tuple[int, int, int, int, int]: ...
def walk(data: bytes, width: int, height: int) -> bytes | None: ...
