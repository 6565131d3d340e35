## pool_direct_backward.cl.mako -- the gradient of pooling as a gather: every dx element visits the windows that can cover it.
##
## A task is a run of TILE columns of one row (z, row) of dx. Window element (t, r, s) of output (o, p, q) lies at q * STRIDE_W + s *
## DILATION_W - PAD_W, so for each s a range of q lands in the run; each (window, element) pair is met exactly once. Maximum: the gradient
## is taken where the window's index names this very element. One work-item does `tasks_each` tasks. Index space:
##     get_global_id(0)  run of tasks (plane, z, row, tile of columns)
## Header constants: KERNEL_*, STRIDE_*, PAD_* (begin), PAD_END_*, DILATION_*, TILE, CEIL_DIV(a, b); DIVISOR where all windows
## share it, else TAPS_BELOW(start, limit, axis): elements of a window from `start` on that lie before `limit`.
## Render arguments: kind ("max" or "avg"), divisor ("same", "inside": elements of the input, "padded": of the padding too).
<%page args="kind, divisor"/>\
<%def name="count(name, start, axis, size)">\
% if divisor == "inside":
${name} = TAPS_BELOW(${start}, ${size}, ${axis}) - TAPS_BELOW(${start}, 0, ${axis})\
% else:
${name} = TAPS_BELOW(${start}, ${size} + PAD_END_${axis}, ${axis})\
% endif
</%def>\
__kernel WORK_GROUP
void pool_direct_backward(
    __global const real *restrict dy,       // planes, O, P, Q
% if kind == "max":
    __global const int *restrict indices,   // as dy: position in the input plane
% endif
    __global real *restrict dx,             // planes, D, H, W
    const int planes,                  // N * C
    const int depth, const int height, const int width,
    const int o_count, const int p_count, const int q_count,
    const int tiles, const int tasks_each)
{
    const int tasks = planes * depth * height * tiles;
    const int first = get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int column0 = task % tiles * TILE;
        const int row = task / tiles % height;
        const int z = task / tiles / height % depth;
        const int plane = task / tiles / height / depth;
        const int most = width - column0 < TILE ? width - column0 : TILE;
        const int inside = (z * height + row) * width + column0;
        float sums[TILE];
        for (int j = 0; j < most; ++j) sums[j] = 0.0f;

        for (int t = 0; t < KERNEL_D; ++t) {
            const int over_d = z + PAD_D - t * DILATION_D;
            const int o = over_d / STRIDE_D;
            if (over_d < 0 || over_d % STRIDE_D != 0 || o >= o_count) continue;
            for (int r = 0; r < KERNEL_H; ++r) {
                const int over_h = row + PAD_H - r * DILATION_H;
                const int p = over_h / STRIDE_H;
                if (over_h < 0 || over_h % STRIDE_H != 0 || p >= p_count) continue;
                const int from = ((plane * o_count + o) * p_count + p) * q_count;
            % if kind == "avg" and divisor != "same":
                const int front = o * STRIDE_D - PAD_D;
                const int top = p * STRIDE_H - PAD_H;
                const int ${count("rows", "front", "D", "depth")};
                const int ${count("columns", "top", "H", "height")};
            % endif
                for (int s = 0; s < KERNEL_W; ++s) {
                    const int shift = s * DILATION_W - PAD_W - column0;     // place in the run of q: q * STRIDE_W + shift
                    const int lowest = CEIL_DIV(-shift, STRIDE_W);
                    const int highest = CEIL_DIV(most - shift, STRIDE_W);
                    const int begin = lowest > 0 ? lowest : 0;
                    const int end = highest < q_count ? highest : q_count;
                    for (int q = begin; q < end; ++q) {
                        const int j = q * STRIDE_W + shift;
                        const float gradient = LOAD(dy, from + q);
                    % if kind == "max":
                        sums[j] += indices[from + q] == inside + j ? gradient : 0.0f;
                    % elif divisor == "same":
                        sums[j] += gradient / DIVISOR;
                    % else:
                        const int left = q * STRIDE_W - PAD_W;
                        const int ${count("across", "left", "W", "width")};
                        sums[j] += gradient / (float)(rows * columns * across);
                    % endif
                    }
                }
            }
        }
        const int to = plane * depth * height * width + inside;
        for (int j = 0; j < most; ++j) STORE(dx, to + j, sums[j]);
    }
}
