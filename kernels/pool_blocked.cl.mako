## pool_blocked.cl.mako -- maximum or mean over a window that slides over channel-blocked planes, and its gradient.
##
## One work-item computes some rows of one plane of blocks, BLOCK channels at a time. Index space, fastest first:
##     get_global_id(0)  run of rows of the written plane
##     get_global_id(1)  channel block
##     get_global_id(2)  image
##
## pool_forward computes TILE windows at a time where they lie inside the input: every column of KERNEL_H elements is reduced once, for all
## windows that it lies in. Elsewhere it cuts the window to the input once for a row (r0 .. r1) and, near the left and right border, once for a column (s0 .. s1);
## no element is tested. pool_backward gathers: every input position looks at the windows that cover it, which are a range of rows and
## columns, and takes dy where the stored index is its own position (max) or its share of every mean (avg).
##
## Header constants: BLOCK, ivec (BLOCK ints), KERNEL_*, STRIDE_*, DILATION_*, PAD_* (begin), END_* (padding at the end), ZERO_RUN(p, n),
##     ZERO_INTS(p, n).
## Render arguments: kernel ("forward" or "backward"), block, kind ("max" or "avg"), with_indices, rows (KERNEL_H) and tile (TILE), reads: the
##     columns that the windows of a tile read and who uses them, none where windows are not computed in tiles,
##     divisor: a number, "padded" (elements inside input and padding) or "inside" (elements inside the input).
<%page args="kernel, block, kind, with_indices, divisor, rows, tile, reads"/>\
<%
    shares = kind == "avg" and divisor in ("padded", "inside")

    def inside(size, axis, start):
        """Elements inside the input of a window that starts at `start`."""
        step = f"DILATION_{axis}"
        return f"min(KERNEL_{axis}, ({size} - {start} + {step} - 1) / {step}) - ({start} < 0 ? ({step} - 1 - {start}) / {step} : 0)"
%>\
<%def name="view(name)">\
    const int ${name}_offset, const int ${name}_image, const int ${name}_plane, const int ${name}_row,
</%def>\
<%def name="halo(name)">\
    const int ${name}_above, const int ${name}_below, const int ${name}_left, const int ${name}_right,   // elements
</%def>\
## How many of a window's elements its mean counts along an axis; `start` is the input position of the first.
<%def name="counted(size, axis, start, inside)">\
% if divisor == "padded":
min(KERNEL_${axis}, (${size} + END_${axis} - (${start}) + DILATION_${axis} - 1) / DILATION_${axis})\
% else:
${inside}\
% endif
</%def>\
## The first window that counts all its elements, and the first after them.
<%def name="first_full(axis)">\
% if divisor == "padded":
0\
% else:
(PAD_${axis} + STRIDE_${axis} - 1) / STRIDE_${axis}\
% endif
</%def>\
<%def name="end_full(size, axis, reach)">\
<% last = f"{size} - 1 + PAD_{axis} - {reach}" + (f" + END_{axis}" if divisor == "padded" else "") %>\
${last} < 0 ? 0 : (${last}) / STRIDE_${axis} + 1\
</%def>\
## Adds what the windows p0 .. p1, q0 .. q1 give to the position (row, column); `share` is made of value and the counts.
<%def name="sum_windows(share)">\
                for (int p = p0; p < p1; ++p) {
                    const int top = p * STRIDE_H - PAD_H;
                    if ((row - top) % DILATION_H != 0) continue;
                    % if "counted" in share:
                    const int counted_rows = ${counted("h", "H", "top", inside("h", "H", "top"))};
                    % endif
                    for (int q = q0; q < q1; ++q) {
                        const int left = q * STRIDE_W - PAD_W;
                        if ((column - left) % DILATION_W != 0) continue;
                        % if "counted" in share:
                        const int counted_columns = ${counted("w", "W", "left", inside("w", "W", "left"))};
                        % endif
                        const vec value = LOADV(gradient, p * dy_row + q * BLOCK);
                        total += ${share};
                    }
                }
</%def>\
<%def name="window(first, end, columns)">\
            % if kind == "max":
            vec best = (vec)(-INFINITY);
            % if with_indices:
            ivec index = (ivec)(top * w + left + ${first} * DILATION_W);
            % else:
            ivec lost = (ivec)(0);
            % endif
            % else:
            vec total = (vec)(0.0f);
            % endif
            for (int r = r0; r < r1; ++r) {
                __global const real *at = input + (p * STRIDE_H - PAD_H + r * DILATION_H) * x_row + left * BLOCK;
                % if kind == "avg":
                vec line = (vec)(0.0f);   // a sum of its own: rounding errors grow with the length of a chain
                % endif
                for (int s = ${first}; s < ${end}; ++s) {
                    const vec value = LOADV(at, s * DILATION_W * BLOCK);
                    % if kind == "avg":
                    line += value;
                    % elif with_indices:
                    // A NaN enters and nothing beats it but another NaN.
                    const ivec better = (value > best) | (value != value);
                    best = better ? value : best;
                    index = better ? (ivec)((p * STRIDE_H - PAD_H + r * DILATION_H) * w + left + s * DILATION_W) : index;
                    % else:
                    best = value > best ? value : best;
                    lost |= value != value;   // the comparison passes NaN over; a call of isnan() is not inlined everywhere
                    % endif
                }
                % if kind == "avg":
                total += line;
                % endif
            }
            % if kind == "avg":
            % if shares:
            const float count = (float)(counted_rows * (${columns}));
            % else:
            const float count = ${divisor}.0f;
            % endif
            STOREV(out, q * BLOCK, total / count);
            % elif with_indices:
            STOREV(out, q * BLOCK, best);
            *(__global ivec *)(positions + q * BLOCK) = live ? index : (ivec)(0);
            % else:
            STOREV(out, q * BLOCK, lost ? (vec)(NAN) : best);
            % endif
</%def>\
<%def name="tile_of_windows()">\
                __global const real *at = input + start * x_row + (first * STRIDE_W - PAD_W) * BLOCK;
                % if kind == "max":
                vec ${", ".join(f"best{i} = (vec)(-INFINITY)" for i in range(tile))};
                ivec ${", ".join(f"lost{i} = (ivec)(0)" for i in range(tile))};
                % else:
                vec ${", ".join(f"total{i} = (vec)(0.0f)" for i in range(tile))};
                % endif
                % for column, uses in reads:
                {
                    % for r in range(rows):
                    const vec value${r} = LOADV(at, ${r} * DILATION_H * x_row + ${column} * BLOCK);
                    % endfor
                    % if kind == "max":
                    vec most = value0;
                    % for r in range(1, rows):
                    most = value${r} > most ? value${r} : most;
                    % endfor
                    const ivec odd = ${" | ".join(f"(value{r} != value{r})" for r in range(rows))};
                    % for i, _ in uses:
                    best${i} = most > best${i} ? most : best${i};
                    lost${i} |= odd;
                    % endfor
                    % else:
                    const vec sum = ${" + ".join(f"value{r}" for r in range(rows))};
                    % for i, _ in uses:
                    total${i} += sum;
                    % endfor
                    % endif
                }
                % endfor
                % if shares:
                const float count = (float)(counted_rows * KERNEL_W);
                % elif kind == "avg":
                const float count = ${divisor}.0f;
                % endif
                % for i in range(tile):
                STOREV(out, (first + ${i}) * BLOCK, ${f"lost{i} ? (vec)(NAN) : best{i}" if kind == "max" else f"total{i} / count"});
                % endfor
</%def>\
<%def name="edge(begin, end)">\
        for (int q = ${begin}; q < ${end}; ++q) {
            const int left = q * STRIDE_W - PAD_W;
            const int s0 = left < 0 ? (DILATION_W - 1 - left) / DILATION_W : 0;
            const int s1 = min(KERNEL_W, (w - left + DILATION_W - 1) / DILATION_W);
${window("s0", "s1", capture(counted, "w", "W", "left", "s1 - s0"))}\
        }
</%def>\
<%def name="zero_before(name, pointer, zero='ZERO_RUN')">\
    if (row0 == 0)
        ${zero}(${pointer} - ${name}_above - ${name}_left, ${name}_above);
</%def>\
<%def name="zero_after(name, pointer, rows, zero='ZERO_RUN')">\
    if (row1 == ${rows})
        ${zero}(${pointer} + ${rows} * ${name}_row - ${name}_left, ${name}_below);
</%def>\
% if kernel == "forward":
__kernel WORK_GROUP
void pool_forward(
    __global const real *restrict x,   // N, channel blocks, H, W, BLOCK
${view("x")}\
    __global real *restrict y,         // N, channel blocks, P, Q, BLOCK
${view("y")}\
${halo("y")}\
    % if with_indices:
    __global int *restrict indices,    // as y: row * W + column of the largest
${view("indices")}\
${halo("indices")}\
    const int channels,
    % endif
    const int h, const int w,          // size of an input plane
    const int p_count, const int q_count,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, p_count);
    const int block = (int)get_global_id(1);
    __global const real *input = x + get_global_id(2) * x_image + block * x_plane + x_offset;
    __global real *output = y + get_global_id(2) * y_image + block * y_plane + y_offset;
    % if with_indices:
    __global int *index_plane = indices + get_global_id(2) * indices_image + block * indices_plane + indices_offset;
    const ivec lane = (ivec)(${", ".join(map(str, range(block)))});
    const ivec live = lane < (ivec)(channels - block * BLOCK);
    % endif
    // The columns whose windows lie inside the input.
    const int reach = (KERNEL_W - 1) * DILATION_W;
    const int inside0 = min((PAD_W + STRIDE_W - 1) / STRIDE_W, q_count);
    const int inside1 = max(inside0, w - 1 + PAD_W - reach < 0 ? 0 : min(q_count, (w - 1 + PAD_W - reach) / STRIDE_W + 1));

${zero_before("y", "output")}\
    % if with_indices:
${zero_before("indices", "index_plane", "ZERO_INTS")}\
    % endif
    for (int p = row0; p < row1; ++p) {
        __global real *out = output + p * y_row;
        ZERO_RUN(out - y_left, y_left);
        % if with_indices:
        __global int *positions = index_plane + p * indices_row;
        ZERO_INTS(positions - indices_left, indices_left);
        % endif
        const int start = p * STRIDE_H - PAD_H;
        const int r0 = start < 0 ? (DILATION_H - 1 - start) / DILATION_H : 0;
        const int r1 = min(KERNEL_H, (h - start + DILATION_H - 1) / DILATION_H);
        % if with_indices:
        const int top = start + r0 * DILATION_H;
        % endif
        % if shares:
        const int counted_rows = ${counted("h", "H", "start", "r1 - r0")};
        % endif
${edge("0", "inside0")}\
        int q = inside0;
        % if reads:
        if (r1 - r0 == KERNEL_H && inside1 - inside0 >= TILE)
            for (; q < inside1; q += TILE) {
                const int first = min(q, inside1 - TILE);   // the last tile overlaps its neighbour
${tile_of_windows()}\
            }
        % endif
        for (; q < inside1; ++q) {
            const int left = q * STRIDE_W - PAD_W;
${window("0", "KERNEL_W", "KERNEL_W")}\
        }
${edge("inside1", "q_count")}\
        ZERO_RUN(out + q_count * BLOCK, y_right);
        % if with_indices:
        ZERO_INTS(positions + q_count * BLOCK, indices_right);
        % endif
    }
${zero_after("y", "output", "p_count")}\
    % if with_indices:
${zero_after("indices", "index_plane", "p_count", "ZERO_INTS")}\
    % endif
}
% else:
__kernel WORK_GROUP
void pool_backward(
    __global const real *restrict dy,       // N, channel blocks, P, Q, BLOCK
${view("dy")}\
    % if kind == "max":
    __global const int *restrict indices,   // as dy: row * W + column of the largest
${view("indices")}\
    % endif
    __global real *restrict dx,             // N, channel blocks, H, W, BLOCK
${view("dx")}\
${halo("dx")}\
    const int h, const int w,               // size of an input plane
    const int p_count, const int q_count,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, h);
    __global const real *gradient = dy + get_global_id(2) * dy_image + get_global_id(1) * dy_plane + dy_offset;
    __global real *output = dx + get_global_id(2) * dx_image + get_global_id(1) * dx_plane + dx_offset;
    % if kind == "max":
    __global const int *index_plane = indices + get_global_id(2) * indices_image + get_global_id(1) * indices_plane + indices_offset;
    % endif
    const int reach_h = (KERNEL_H - 1) * DILATION_H;
    const int reach_w = (KERNEL_W - 1) * DILATION_W;
    % if shares:
    // The windows that count all their elements: near the border a mean has a divisor of its own.
    const int full_p0 = ${first_full("H")};
    const int full_p1 = ${end_full("h", "H", "reach_h")};
    const int full_q0 = ${first_full("W")};
    const int full_q1 = ${end_full("w", "W", "reach_w")};
    % endif

${zero_before("dx", "output")}\
    for (int row = row0; row < row1; ++row) {
        __global real *out = output + row * dx_row;
        ZERO_RUN(out - dx_left, dx_left);
        const int below = row + PAD_H - reach_h;   // windows p with below <= p * STRIDE_H <= row + PAD_H
        const int p0 = below > 0 ? (below + STRIDE_H - 1) / STRIDE_H : 0;
        const int p1 = min(p_count, (row + PAD_H) / STRIDE_H + 1);
        for (int column = 0; column < w; ++column) {
            const int before = column + PAD_W - reach_w;
            const int q0 = before > 0 ? (before + STRIDE_W - 1) / STRIDE_W : 0;
            const int q1 = min(q_count, (column + PAD_W) / STRIDE_W + 1);
            vec total = (vec)(0.0f);
            % if kind == "max":
            for (int p = p0; p < p1; ++p)
                for (int q = q0; q < q1; ++q) {
                    const vec value = LOADV(gradient, p * dy_row + q * BLOCK);
                    const ivec won = *(__global const ivec *)(index_plane + p * indices_row + q * BLOCK) == (ivec)(row * w + column);
                    total += won ? value : (vec)(0.0f);
                }
            % elif shares:
            if (p0 >= full_p0 && p1 <= full_p1 && q0 >= full_q0 && q1 <= full_q1) {
${sum_windows("value")}\
                total /= (float)(KERNEL_H * KERNEL_W);
            } else {
${sum_windows("value / (float)(counted_rows * counted_columns)")}\
            }
            % else:
            {
${sum_windows("value")}\
                total /= ${divisor}.0f;
            }
            % endif
            STOREV(out, column * BLOCK, total);
        }
        ZERO_RUN(out + w * BLOCK, dx_right);
    }
${zero_after("dx", "output", "h")}\
}
% endif
