"""Triton kernels of RoIAlign: all levels of all RoIs in one launch, forward and backward.

Features lie channels last, so that a pixel is a row of memory. A program has some cells of a RoI and some channels, and
adds up weighted rows in float32, or float64 for such levels. The gradient adds atomically to maps of that type, which
start at zero: their last bits depend on the order.
"""

import triton
import triton.language as tl


@triton.jit
def sample(at, pixels):
    """Returns the pixel before each place on an axis, and the weights of that pixel and the next."""
    inside = (at >= -1) & (at <= pixels)
    at = tl.minimum(tl.maximum(tl.where(inside, at, 0), 0), (pixels - 1).to(at.dtype))
    before = tl.floor(at)
    after = at - before
    return before.to(tl.int32), tl.where(inside, 1 - after, 0), tl.where(inside, after, 0)


@triton.jit
def sample_pair(first, step, pixels):
    """Returns two samples of a bin as `sample` does, with halved weights; of pixels that both have the first keeps all.

    Where a bin is smaller than a pixel, that leaves two or three pixels with a weight in place of four.
    """
    a, a0, a1 = sample(first + 0.5 * step / 2, pixels)
    b, b0, b1 = sample(first + 1.5 * step / 2, pixels)
    same, neighbour = b == a, b == a + 1
    a0 += tl.where(same, b0, 0)
    a1 += tl.where(same, b1, tl.where(neighbour, b0, 0))
    b0 = tl.where(same | neighbour, 0, b0)
    b1 = tl.where(same, 0, b1)
    return a, a0 / 2, a1 / 2, b, b0 / 2, b1 / 2


@triton.jit
def tap(cells, level, pixel, weight, channel, wide, WIDTH: tl.constexpr, BACKWARD: tl.constexpr):
    """Adds a weighted row to each cell, or each cell's weighted gradient to a row; a weight of zero touches nothing."""
    place = level + pixel[:, None] * WIDTH + channel[None, :]
    there = (weight != 0)[:, None] & wide[None, :]
    share = tl.broadcast_to(weight[:, None], cells.shape).to(cells.dtype)
    if BACKWARD:
        tl.atomic_add(place, cells * share, mask=there, sem="relaxed")
    else:
        cells = tl.fma(tl.load(place, mask=there, other=0).to(cells.dtype), share, cells)
    return cells


@triton.jit
def row_of_two(cells, level, row, weight, x, channel, wide, WIDTH: tl.constexpr, BACKWARD: tl.constexpr):
    """Does `tap` for a row's four pixels, `x` from sample_pair."""
    a, a0, a1, b, b0, b1 = x
    cells = tap(cells, level, row + a, weight * a0, channel, wide, WIDTH, BACKWARD)
    cells = tap(cells, level, row + a + 1, weight * a1, channel, wide, WIDTH, BACKWARD)
    cells = tap(cells, level, row + b, weight * b0, channel, wide, WIDTH, BACKWARD)
    return tap(cells, level, row + b + 1, weight * b1, channel, wide, WIDTH, BACKWARD)


@triton.jit
def extent(low, high, scale, rule):
    """Returns where a RoI begins on a level and how long it is there, on an axis, as groie/roi_align.py does."""
    start = low * scale - rule[0]
    return start, tl.maximum((high + rule[1]) * scale - rule[0] - start, rule[2])


@triton.jit
def samples(step, rule, RATIO: tl.constexpr):
    """Returns how many samples a bin has on an axis."""
    if RATIO:
        return RATIO
    return tl.maximum(tl.ceil(step), rule[3]).to(tl.int32)


@triton.jit(do_not_specialize=["images", "number"])
def pool(
    levels,  # of each: (images, height, width, WIDTH), or its gradient
    cells,  # (levels, N, C, ROWS, COLUMNS) or, with ADD, (N, C, ROWS, COLUMNS); LAST says how in memory
    rois,  # (N, 5)
    chosen,  # (N,) int64: the level of each RoI, read with CHOOSE
    heights,  # floats, as Triton compiles a kernel for each set of whole numbers that 16 divides
    widths,
    rule,  # floats: cells that are taken off a start, pixels added to an end, the least length and number of samples
    images,
    number,  # N
    SCALES: tl.constexpr,  # of each level
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    RATIO: tl.constexpr,
    ADD: tl.constexpr,
    CHOOSE: tl.constexpr,
    BACKWARD: tl.constexpr,
    LAST: tl.constexpr,  # whether cells are channels last
    DOUBLE: tl.constexpr,
    CELLS: tl.constexpr,  # of a program
    CHANNELS: tl.constexpr,  # of a program
):
    size: tl.constexpr = ROWS * COLUMNS
    blocks: tl.constexpr = (size + CELLS - 1) // CELLS
    exact: tl.constexpr = tl.float64 if DOUBLE else tl.float32
    n = tl.program_id(0) // blocks
    cell = tl.program_id(0) % blocks * CELLS + tl.arange(0, CELLS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    wide, good = channel < WIDTH, cell < size
    image = tl.load(rois + n * 5).to(tl.int32)
    left, top = tl.load(rois + n * 5 + 1), tl.load(rois + n * 5 + 2)
    right, bottom = tl.load(rois + n * 5 + 3), tl.load(rois + n * 5 + 4)
    there = good[:, None] & wide[None, :]
    good = good & (image >= 0) & (image < images)
    row, column = cell // COLUMNS, cell % COLUMNS
    place = cells + n.to(tl.int64) * (WIDTH * size)
    if LAST:
        place = place + cell[:, None] * WIDTH + channel[None, :]
    else:
        place = place + cell[:, None] + channel[None, :] * size
    of_level = number.to(tl.int64) * (WIDTH * size)
    if BACKWARD and ADD:
        value = tl.load(place, mask=there, other=0).to(exact)
    else:
        value = tl.zeros((CELLS, CHANNELS), exact)
    for i in range(len(SCALES)):
        level, height, width = levels[0], heights[0], widths[0]
        scale = tl.full((), SCALES[0], left.dtype)
        for other in tl.static_range(1, len(SCALES)):
            level = tl.where(i == other, levels[other], level)
            height = tl.where(i == other, heights[other], height)
            width = tl.where(i == other, widths[other], width)
            scale = tl.where(i == other, tl.full((), SCALES[other], left.dtype), scale)
        height, width = tl.cast(height, tl.int32), tl.cast(width, tl.int32)
        if not ADD:
            if BACKWARD:
                value = tl.load(place + i * of_level, mask=there, other=0).to(exact)
            else:
                value = tl.zeros((CELLS, CHANNELS), exact)
        here = True
        if CHOOSE:
            here = tl.load(chosen + n) == i
        if here:
            level += image.to(tl.int64) * height * width * WIDTH
            start_x, length_x = extent(left, right, scale, rule)
            start_y, length_y = extent(top, bottom, scale, rule)
            step_x, step_y = divided(length_x, COLUMNS), divided(length_y, ROWS)
            first_x = start_x + column.to(step_x.dtype) * step_x
            first_y = start_y + row.to(step_y.dtype) * step_y
            if RATIO == 2:
                x = sample_pair(first_x, step_x, width)
                a, a0, a1, b, b0, b1 = sample_pair(first_y, step_y, height)
                a0, a1 = tl.where(good, a0, 0), tl.where(good, a1, 0)
                b0, b1 = tl.where(good, b0, 0), tl.where(good, b1, 0)
                value = row_of_two(value, level, a * width, a0, x, channel, wide, WIDTH, BACKWARD)
                value = row_of_two(value, level, (a + 1) * width, a1, x, channel, wide, WIDTH, BACKWARD)
                value = row_of_two(value, level, b * width, b0, x, channel, wide, WIDTH, BACKWARD)
                value = row_of_two(value, level, (b + 1) * width, b1, x, channel, wide, WIDTH, BACKWARD)
            else:
                of_x, of_y = samples(step_x, rule, RATIO), samples(step_y, rule, RATIO)
                for s in range(of_y):
                    y, y0, y1 = sample(first_y + divided((s + 0.5) * step_y, of_y), height)
                    y0, y1 = tl.where(good, divided(y0, of_y), 0), tl.where(good, divided(y1, of_y), 0)
                    for t in range(of_x):
                        x, x0, x1 = sample(first_x + divided((t + 0.5) * step_x, of_x), width)
                        x0, x1 = divided(x0, of_x), divided(x1, of_x)
                        pixel = y * width + x
                        value = tap(value, level, pixel, y0 * x0, channel, wide, WIDTH, BACKWARD)
                        value = tap(value, level, pixel + 1, y0 * x1, channel, wide, WIDTH, BACKWARD)
                        value = tap(value, level, pixel + width, y1 * x0, channel, wide, WIDTH, BACKWARD)
                        value = tap(value, level, pixel + width + 1, y1 * x1, channel, wide, WIDTH, BACKWARD)
        if not BACKWARD and not ADD:
            tl.store(place + i * of_level, value, mask=there)
    if not BACKWARD and ADD:
        tl.store(place, value, mask=there)


@triton.jit
def divided(x, by):
    """Returns x / by, rounded as a CPU does."""
    if x.dtype == tl.float32:
        return tl.div_rn(x, tl.cast(by, tl.float32) + tl.zeros_like(x))
    return x / by


@triton.jit
def transpose(
    given,  # of each level: (images, channels, height, width), or with BACK (images, height, width, channels)
    found,  # of each level: the other one, of any floating type
    heights,  # floats, see `pool`
    widths,
    firsts,  # the first program of each level, and the number of all; floats
    LEVELS: tl.constexpr,
    WIDTH: tl.constexpr,  # channels
    BACK: tl.constexpr,
    SIDE: tl.constexpr,
):
    """Brings each image of each level from channels first to channels last, or back: SIDE x SIDE numbers a program."""
    program = tl.program_id(0)
    for i in tl.static_range(LEVELS):
        if (program >= firsts[i]) & (program < firsts[i + 1]):
            pixels = tl.cast(heights[i], tl.int32) * tl.cast(widths[i], tl.int32)
            if BACK:
                height, width = pixels, WIDTH
            else:
                height, width = WIDTH, pixels
            across = tl.cdiv(width, SIDE)
            tiles = tl.cdiv(height, SIDE) * across
            tile = program - tl.cast(firsts[i], tl.int32)
            start = (tile // tiles).to(tl.int64) * pixels * WIDTH
            row = tile % tiles // across * SIDE + tl.arange(0, SIDE)
            column = tile % across * SIDE + tl.arange(0, SIDE)
            values = tl.load(
                given[i] + start + row[:, None] * width + column[None, :],
                mask=(row < height)[:, None] & (column < width)[None, :],
            )
            tl.store(
                found[i] + start + column[:, None] * height + row[None, :],
                tl.trans(values).to(found[i].dtype.element_ty),
                mask=(column < width)[:, None] & (row < height)[None, :],
            )
