import numpy as np
import numpy.typing as npt

def measure(
    pixels: npt.NDArray[np.uint8],
    width: int,
    height: int,
    bytes_per_pixel: int,
    cells: npt.NDArray[np.uint8],
) -> tuple[int, int, int, int, int, int, int]: ...
