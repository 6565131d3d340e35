## pool_strips.cl.mako -- maximum or mean of a window that slides over plain maps, for GPUs: a strip of a column's outputs for each work-item.
##
## A work-item computes ROWS outputs below each other, so that neighbouring work-items read neighbouring columns, and what several windows of
## a strip hold is read once. Elements outside of the map are read from its edge and not taken.
## Index space: get_global_id(0) is (plane * strips + strip) * columns + column.
##
## Header constants: ROWS, KERNEL_*, STRIDE_*, PAD_* (begin), PAD_END_*, DILATION_*, CEIL_DIV(a, b); DIVISOR where all windows share it, else
## TAPS_BELOW(start, limit, axis): elements of a window from `start` on that lie before `limit`.
## Render arguments: kind ("max" or "avg"), divisor ("same", "inside": elements of the input, "padded": of the padding too), indices; lines:
## what each row of the map, counted from the strip's first, is used for, pairs (output of the strip, row of its window); taps_w, rows.
<%page args="kind, divisor, indices, lines, taps_w, rows"/>\
<%def name="count(name, start, axis, size)">\
% if divisor == "inside":
${name} = TAPS_BELOW(${start}, ${size}, ${axis}) - TAPS_BELOW(${start}, 0, ${axis})\
% else:
${name} = TAPS_BELOW(${start}, ${size} + PAD_END_${axis}, ${axis})\
% endif
</%def>\
__kernel WORK_GROUP
void pool_strips(
    __global const real *restrict x,    // planes, height, width
    __global real *restrict y,          // planes, p_count, q_count
% if indices:
    __global int *restrict indices,     // as y: position in the input plane
% endif
    const int height, const int width, const int p_count, const int q_count, const int strips, const int item_count)
{
    const int item = get_global_id(0);
    if (item >= item_count) return;
    const int column = item % q_count;
    const int strip = item / q_count % strips;
    const int plane = item / q_count / strips;
    const int left = column * STRIDE_W - PAD_W;
    const int top = strip * ROWS * STRIDE_H - PAD_H;
    const int map_at = plane * height * width;
% for s in range(taps_w):
    const int inside${s} = (uint)(left + ${s} * DILATION_W) < (uint)width;
    const int x${s} = clamp(left + ${s} * DILATION_W, 0, width - 1);
% endfor
% for i in range(rows):
% if kind == "max":
    float best${i} = -INFINITY;   // padding never wins: an all -inf window stays -inf
% if indices:
    int where${i} = -1;
% endif
% else:
    float total${i} = 0.0f;
% endif
% endfor
% for line, uses in lines:
    {
        const int row = top + ${line};
        const int inside = (uint)row < (uint)height;
        const int at = clamp(row, 0, height - 1) * width;
    % for s in range(taps_w):
        const float read${s} = LOAD(x, map_at + at + x${s});
    % if kind == "max":
        const int holds${s} = inside & inside${s};
        const float value${s} = holds${s} ? read${s} : -INFINITY;
    % else:
        const float value${s} = inside & inside${s} ? read${s} : 0.0f;
    % endif
    % endfor
    % for i, r in uses:
    % for s in range(taps_w):
    % if kind == "max":
    % if indices:
        where${i} = holds${s} & ((value${s} > best${i}) | (value${s} != value${s}) | (where${i} < 0)) ? at + x${s} : where${i};
    % endif
        // NaN enters, and nothing beats it.
        best${i} = value${s} > best${i} || value${s} != value${s} ? value${s} : best${i};
    % else:
        total${i} += value${s};
    % endif
    % endfor
    % endfor
    }
% endfor

    const int to = (plane * p_count + strip * ROWS) * q_count + column;
% if kind == "avg" and divisor != "same":
    const int ${count("across", "left", "W", "width")};
% endif
% for i in range(rows):
    if (strip * ROWS + ${i} < p_count) {
    % if kind == "max":
        STORE(y, to + ${i} * q_count, best${i});
    % if indices:
        indices[to + ${i} * q_count] = where${i};
    % endif
    % elif divisor == "same":
        STORE(y, to + ${i} * q_count, total${i} / DIVISOR);
    % else:
        const int start = top + ${i} * STRIDE_H;
        const int ${count("down", "start", "H", "height")};
        STORE(y, to + ${i} * q_count, total${i} / (float)(down * across));
    % endif
    }
% endfor
}
