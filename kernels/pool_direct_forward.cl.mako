## pool_direct_forward.cl.mako -- maximum or mean of a window that slides over D x H x W planes.
##
## A task is a run of TILE columns q of one output row (o, p). For each window element the columns it meets inside of the input are a range
## of q, so that the inner loop runs along the row without a test. One work-item does `tasks_each` tasks. Index space:
##     get_global_id(0)  run of tasks (plane, o, p, tile of q)
## Header constants: KERNEL_*, STRIDE_*, PAD_* (begin), PAD_END_*, DILATION_*, TILE, CEIL_DIV(a, b); DIVISOR where all windows
## share it, else TAPS_BELOW(start, limit, axis): elements of a window from `start` on that lie before `limit`.
## Render arguments: kind ("max" or "avg"), indices, divisor ("same", "inside": elements of the input, "padded": of the padding too).
<%page args="kind, indices, divisor"/>\
<%def name="count(name, start, axis, size)">\
% if divisor == "inside":
${name} = TAPS_BELOW(${start}, ${size}, ${axis}) - TAPS_BELOW(${start}, 0, ${axis})\
% else:
${name} = TAPS_BELOW(${start}, ${size} + PAD_END_${axis}, ${axis})\
% endif
</%def>\
__kernel WORK_GROUP
void pool_direct_forward(
    __global const real *restrict x,   // planes, D, H, W
    __global real *restrict y,         // planes, O, P, Q
% if indices:
    __global int *restrict indices,    // as y: position in the input plane
% endif
    const int planes,                  // N * C
    const int depth, const int height, const int width,
    const int o_count, const int p_count, const int q_count,
    const int tiles, const int tasks_each)
{
    const int tasks = planes * o_count * p_count * tiles;
    const int first = get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int q0 = task % tiles * TILE;
        const int p = task / tiles % p_count;
        const int o = task / tiles / p_count % o_count;
        const int plane = task / tiles / p_count / o_count;
        const int most = q_count - q0 < TILE ? q_count - q0 : TILE;
        const int front = o * STRIDE_D - PAD_D;
        const int top = p * STRIDE_H - PAD_H;

    % if kind == "max":
        float best[TILE];              // padding never wins: an all -inf window stays -inf
    % if indices:
        int where[TILE];
    % endif
        for (int j = 0; j < most; ++j) {
            best[j] = -INFINITY;
        % if indices:
            where[j] = -1;
        % endif
        }
    % else:
        float total[TILE], line[TILE];   // of the windows and of a row of each: rounding errors grow with the length of a chain of sums
        for (int j = 0; j < most; ++j) total[j] = line[j] = 0.0f;
    % endif
        for (int t = 0; t < KERNEL_D; ++t) {
            const int z = front + t * DILATION_D;
            if (z < 0 || z >= depth) continue;
            for (int r = 0; r < KERNEL_H; ++r) {
                const int row = top + r * DILATION_H;
                if (row < 0 || row >= height) continue;
                for (int s = 0; s < KERNEL_W; ++s) {
                    const int shift = s * DILATION_W - PAD_W;       // column of q: q * STRIDE_W + shift
                    const int lowest = CEIL_DIV(-shift, STRIDE_W) - q0;
                    const int highest = CEIL_DIV(width - shift, STRIDE_W) - q0;
                    const int begin = lowest > 0 ? lowest : 0;
                    const int end = highest < most ? highest : most;
                    const int inside = (z * height + row) * width + q0 * STRIDE_W + shift;
                    const int from = plane * depth * height * width + inside;
                    for (int j = begin; j < end; ++j) {
                        const float value = LOAD(x, from + j * STRIDE_W);
                    % if kind == "max":
                        const float least = best[j];
                    % if indices:
                        const int better = (value > least) | (value != value) | (where[j] < 0);
                        where[j] = better ? inside + j * STRIDE_W : where[j];
                    % endif
                        // One comparison a choice, so that no branch is made of it. NaN enters, and nothing beats it.
                        const float larger = value > least ? value : least;
                        best[j] = value != value ? value : larger;
                    % else:
                        line[j] += value;
                    % endif
                    }
                }
            % if kind == "avg":
                for (int j = 0; j < most; ++j) {
                    total[j] += line[j];
                    line[j] = 0.0f;
                }
            % endif
            }
        }
        const int to = ((plane * o_count + o) * p_count + p) * q_count + q0;
    % if kind == "avg" and divisor != "same":
        const int ${count("rows", "front", "D", "depth")};
        const int ${count("columns", "top", "H", "height")};
    % endif
        for (int j = 0; j < most; ++j) {
        % if kind == "max":
            STORE(y, to + j, best[j]);
        % if indices:
            indices[to + j] = where[j];
        % endif
        % elif divisor == "same":
            STORE(y, to + j, total[j] / DIVISOR);
        % else:
            const int left = (q0 + j) * STRIDE_W - PAD_W;
            const int ${count("across", "left", "W", "width")};
            STORE(y, to + j, total[j] / (float)(rows * columns * across));
        % endif
        }
    }
}
