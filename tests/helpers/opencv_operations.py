# SPDX-License-Identifier: Apache-2.0
"""Does a hundred of OpenCV's operations on a device (UMat) and prints the SHA-256 of each one's result.

A program by itself. OpenCV chooses for each operation, by the device and the data, between its kernels and
the processor, and says nothing about it; the programs that it keeps (OPENCV_OPENCL_CACHE_DIR) show what it
has built.

Left out, because the bare device does not give the same twice: FAST, whose kernel finds another number of
points in every run, and Canny, whose kernel finds another edge in one run of seventy. And HoughLines, whose
kernel writes where it must not and ends the process that runs it.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

cv2: Any = importlib.import_module("cv2")  # its own annotations know nothing of UMat in many places

HEIGHT, WIDTH = 240, 320
RANDOM = np.random.default_rng(1)


def of_bytes(*size: int) -> Any:
    return RANDOM.integers(0, 256, size, dtype=np.uint8)


def of_floats(*size: int) -> Any:
    return cv2.UMat(RANDOM.random(size, dtype=np.float32))


HOST_GREY, HOST_LUT = of_bytes(HEIGHT, WIDTH), of_bytes(256)
GREY, GREY2 = cv2.UMat(HOST_GREY), cv2.UMat(of_bytes(HEIGHT, WIDTH))
COLOUR = cv2.UMat(of_bytes(HEIGHT, WIDTH, 3))
REAL, REAL2 = of_floats(HEIGHT, WIDTH), of_floats(HEIGHT, WIDTH)
SQUARE, SQUARE2 = of_floats(64, 64), of_floats(64, 64)
PART = cv2.UMat(HOST_GREY[20:50, 30:70])
BOX = np.ones((5, 5), np.uint8)
CROSS = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
AFFINE = np.array([[0.9, 0.1, 5], [-0.1, 0.9, 7]], np.float32)
PERSPECTIVE = np.array([[0.9, 0.1, 5], [-0.1, 0.9, 7], [1e-4, 2e-4, 1]], np.float32)
ROWS, COLUMNS = np.indices((HEIGHT, WIDTH))
FROM_X = cv2.UMat((COLUMNS * 0.9 + 3.3).astype(np.float32))
FROM_Y = cv2.UMat((ROWS * 0.8 + 1.7).astype(np.float32))
POINTS = np.array([[[50, 50]], [[100, 100]]], np.float32)


def histogram() -> Any:
    return cv2.calcHist([GREY], [0], None, [256], [0, 256])


def moving(subtractor: Any) -> list[Any]:
    return [subtractor.apply(frame).get() for frame in (COLOUR, cv2.flip(COLOUR, 1), COLOUR)]


def part_of_a_part() -> Any:
    """A region of a region, which is a part of one buffer, written in its place."""
    whole = cv2.add(GREY, 0)
    region = cv2.UMat(cv2.UMat(whole, [10, 200], [20, 300]), [5, 100], [7, 77])
    cv2.bitwise_not(region, region)
    return whole


def in_place(function: Callable[[Any], object]) -> Any:
    target = cv2.multiply(REAL, 1.0)
    function(target)
    return target


OPERATIONS: dict[str, Callable[[], Any]] = {
    "add": lambda: cv2.add(GREY, GREY2),
    "subtract": lambda: cv2.subtract(GREY, GREY2),
    "absdiff": lambda: cv2.absdiff(GREY, GREY2),
    "multiply": lambda: cv2.multiply(REAL, REAL2),
    "divide": lambda: cv2.divide(REAL, REAL2),
    "addWeighted": lambda: cv2.addWeighted(GREY, 0.3, GREY2, 0.7, 5),
    "scaleAdd": lambda: cv2.scaleAdd(REAL, 1.5, REAL2),
    "min": lambda: cv2.min(GREY, GREY2),
    "max": lambda: cv2.max(GREY, GREY2),
    "bitwise_and": lambda: cv2.bitwise_and(GREY, GREY2),
    "bitwise_or, masked": lambda: cv2.bitwise_or(GREY, GREY2, mask=GREY2),
    "bitwise_xor": lambda: cv2.bitwise_xor(GREY, GREY2),
    "bitwise_not": lambda: cv2.bitwise_not(GREY),
    "compare": lambda: cv2.compare(GREY, GREY2, cv2.CMP_GT),
    "inRange": lambda: cv2.inRange(COLOUR, (50, 60, 70), (200, 210, 220)),
    "exp": lambda: cv2.exp(REAL),
    "log": lambda: cv2.log(REAL),
    "sqrt": lambda: cv2.sqrt(REAL),
    "pow": lambda: cv2.pow(REAL, 3),
    "magnitude": lambda: cv2.magnitude(REAL, REAL2),
    "phase": lambda: cv2.phase(REAL, REAL2),
    "cartToPolar": lambda: cv2.cartToPolar(REAL, REAL2),
    "polarToCart": lambda: cv2.polarToCart(REAL, REAL2),
    "convertScaleAbs": lambda: cv2.convertScaleAbs(REAL, alpha=100, beta=3),
    "normalize": lambda: cv2.normalize(REAL, None, 0, 10, cv2.NORM_MINMAX),
    "LUT": lambda: cv2.LUT(GREY, HOST_LUT),
    "flip": lambda: cv2.flip(COLOUR, 1),
    "transpose": lambda: cv2.transpose(COLOUR),
    "rotate": lambda: cv2.rotate(COLOUR, cv2.ROTATE_90_CLOCKWISE),
    "repeat": lambda: cv2.repeat(GREY, 2, 3),
    "copyMakeBorder": lambda: cv2.copyMakeBorder(COLOUR, 5, 6, 7, 8, cv2.BORDER_REFLECT_101),
    "split": lambda: cv2.split(COLOUR),
    "merge": lambda: cv2.merge([GREY, GREY2, GREY]),
    "extractChannel": lambda: cv2.extractChannel(COLOUR, 1),
    "region of a region": part_of_a_part,
    "setIdentity": lambda: in_place(cv2.setIdentity),
    "gemm": lambda: cv2.gemm(SQUARE, SQUARE2, 1.5, None, 0),
    "gemm, transposed": lambda: cv2.gemm(SQUARE, SQUARE2, 1.0, SQUARE, 0.5, flags=cv2.GEMM_2_T),
    "dft": lambda: cv2.dft(REAL),
    "idft": lambda: cv2.idft(cv2.dft(REAL, flags=cv2.DFT_COMPLEX_OUTPUT), flags=cv2.DFT_SCALE),
    "mulSpectrums": lambda: cv2.mulSpectrums(REAL, REAL2, 0),
    "reduce of rows": lambda: cv2.reduce(REAL, 0, cv2.REDUCE_SUM),
    "reduce of columns": lambda: cv2.reduce(GREY, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F),
    "sumElems": lambda: cv2.sumElems(COLOUR),
    "mean": lambda: cv2.mean(COLOUR),
    "meanStdDev": lambda: cv2.meanStdDev(GREY),
    "norm": lambda: cv2.norm(REAL, REAL2, cv2.NORM_L2),
    "norm of infinity": lambda: cv2.norm(GREY, cv2.NORM_INF),
    "countNonZero": lambda: cv2.countNonZero(GREY),
    "minMaxLoc": lambda: cv2.minMaxLoc(REAL),
    "BGR to grey": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_BGR2GRAY),
    "BGR to HSV": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_BGR2HSV),
    "BGR to HLS": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_BGR2HLS),
    "BGR to YCrCb": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_BGR2YCrCb),
    "BGR to Lab": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_BGR2Lab),
    "BGR to Luv": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_BGR2Luv),
    "BGR to XYZ": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_BGR2XYZ),
    "HSV to BGR": lambda: cv2.cvtColor(COLOUR, cv2.COLOR_HSV2BGR),
    "I420 to BGR": lambda: cv2.cvtColor(GREY, cv2.COLOR_YUV2BGR_I420),
    "blur": lambda: cv2.blur(COLOUR, (7, 5)),
    "boxFilter": lambda: cv2.boxFilter(REAL, -1, (5, 5), normalize=False),
    "GaussianBlur": lambda: cv2.GaussianBlur(COLOUR, (7, 7), 1.5),
    "medianBlur": lambda: cv2.medianBlur(GREY, 5),
    "bilateralFilter": lambda: cv2.bilateralFilter(GREY, 7, 40, 40),
    "filter2D": lambda: cv2.filter2D(GREY, -1, CROSS),
    "sepFilter2D": lambda: cv2.sepFilter2D(REAL, -1, CROSS[0] + 1, CROSS[1] / 4),
    "Sobel": lambda: cv2.Sobel(GREY, cv2.CV_32F, 1, 0),
    "Scharr": lambda: cv2.Scharr(REAL, -1, 0, 1),
    "Laplacian": lambda: cv2.Laplacian(GREY, cv2.CV_16S, ksize=3),
    "erode": lambda: cv2.erode(GREY, BOX),
    "dilate": lambda: cv2.dilate(GREY, BOX, iterations=2),
    "gradient": lambda: cv2.morphologyEx(GREY, cv2.MORPH_GRADIENT, BOX),
    "tophat": lambda: cv2.morphologyEx(COLOUR, cv2.MORPH_TOPHAT, BOX),
    "threshold": lambda: cv2.threshold(GREY, 120, 255, cv2.THRESH_TOZERO),
    "threshold of Otsu": lambda: cv2.threshold(GREY, 0, 255, cv2.THRESH_OTSU),
    "adaptiveThreshold": lambda: cv2.adaptiveThreshold(
        GREY, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 11, 2
    ),
    "equalizeHist": lambda: cv2.equalizeHist(GREY),
    "CLAHE": lambda: cv2.createCLAHE(2.0, (8, 8)).apply(GREY),
    "calcHist": histogram,
    "calcBackProject": lambda: cv2.calcBackProject([GREY], [0], histogram(), [0, 256], 1),
    "integral": lambda: cv2.integral(GREY),
    "resize, nearest": lambda: cv2.resize(COLOUR, (200, 150), interpolation=cv2.INTER_NEAREST),
    "resize, linear": lambda: cv2.resize(COLOUR, (500, 400), interpolation=cv2.INTER_LINEAR),
    "resize, area": lambda: cv2.resize(COLOUR, (100, 77), interpolation=cv2.INTER_AREA),
    "resize, cubic": lambda: cv2.resize(REAL, (400, 300), interpolation=cv2.INTER_CUBIC),
    "warpAffine": lambda: cv2.warpAffine(COLOUR, AFFINE, (WIDTH, HEIGHT)),
    "warpPerspective": lambda: cv2.warpPerspective(GREY, PERSPECTIVE, (WIDTH, HEIGHT)),
    "remap": lambda: cv2.remap(COLOUR, FROM_X, FROM_Y, cv2.INTER_LINEAR),
    "pyrDown": lambda: cv2.pyrDown(cv2.pyrDown(COLOUR)),
    "pyrUp": lambda: cv2.pyrUp(GREY),
    "accumulate": lambda: in_place(lambda total: cv2.accumulate(GREY, total)),
    "accumulateWeighted": lambda: in_place(lambda total: cv2.accumulateWeighted(GREY, total, 0.3)),
    "matchTemplate": lambda: cv2.matchTemplate(GREY, PART, cv2.TM_CCOEFF_NORMED),
    "matchTemplate, squared": lambda: cv2.matchTemplate(GREY, PART, cv2.TM_SQDIFF),
    "cornerHarris": lambda: cv2.cornerHarris(GREY, 2, 3, 0.04),
    "cornerMinEigenVal": lambda: cv2.cornerMinEigenVal(GREY, 3),
    "goodFeaturesToTrack": lambda: cv2.goodFeaturesToTrack(GREY, 30, 0.01, 5),
    "flow of Lucas and Kanade": lambda: cv2.calcOpticalFlowPyrLK(GREY, GREY2, POINTS, None),
    "flow of Farneback": lambda: cv2.calcOpticalFlowFarneback(
        GREY, GREY2, None, 0.5, 3, 9, 2, 5, 1.1, 0
    ),
    "MOG2": lambda: moving(cv2.createBackgroundSubtractorMOG2()),
    "KNN": lambda: moving(cv2.createBackgroundSubtractorKNN()),
    "fastNlMeansDenoising": lambda: cv2.fastNlMeansDenoising(GREY, None, 10, 5, 11),
}


def as_bytes(result: Any) -> bytes:
    """Every bit of a result: of an array on the device or here, of a number, or of several of them."""
    if isinstance(result, cv2.UMat):
        result = result.get()
    if isinstance(result, np.ndarray):
        return repr((result.shape, result.dtype)).encode() + result.tobytes()
    if isinstance(result, list | tuple):
        return b"".join(as_bytes(one) for one in result)
    return repr(result).encode()


if __name__ == "__main__":
    cv2.ocl.setUseOpenCL(True)
    if not cv2.ocl.useOpenCL():
        raise SystemExit("OpenCV found no device.")
    for name, operation in OPERATIONS.items():
        print(f"{name}: {hashlib.sha256(as_bytes(operation())).hexdigest()}", flush=True)
