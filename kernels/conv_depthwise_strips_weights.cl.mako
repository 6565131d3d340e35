## conv_depthwise_strips_weights.cl.mako -- the weight gradient of depthwise convolution on plain maps, for GPUs.
##
## A work-group sums one filter's gradient over a part of all strips, of ROWS output positions below each other: `lanes` neighbouring work-items
## take neighbouring columns of a strip, the others other strips. A work-item keeps the sums of all taps in registers, and reads a row of the
## input once for all positions of the strip. Then the sums are added up in local memory as a tree, one row of taps after the other, always
## in the same order. A second pass, conv_gemm_sum, adds up the parts.
## Index spaces:
##     get_group_id(0)  filter
##     get_group_id(1)  part
##
## Header constants: ROWS, GROUP, SUB_GROUP, TAPS_H, TAPS_W, STRIDE_H, STRIDE_W, STEP_W.
## Render arguments: lines: what each row of the input, counted from the strip's first, is used for, pairs (position of the strip, row of taps);
## taps_h, taps_w, rows.
<%page args="lines, taps_h, taps_w, rows"/>\
__kernel WORK_GROUP SUB_GROUP
void conv_depthwise_strips_weights(
    __global const real *restrict source,    // N, channels, height, width
    __global const real *restrict gradient,  // N, filters, out_height, out_width
    __global float *restrict partial,        // parts, filters, TAPS_H, TAPS_W
    const int channels, const int filters, const int height, const int width, const int out_height, const int out_width,
    const int y_begin, const int x_begin,    // where the first window begins
    const int strips, const int all_strips, const int strips_each, const int lanes)   // of a map; of all; of a part
{
    __local float shared[TAPS_W * GROUP];    // column of taps, work-item
    const int item = get_local_id(0);
    const int lane = item % lanes;
    const int filter = get_group_id(0);
    const int channel = filter / (filters / channels);
    const int begin = (int)get_group_id(1) * strips_each;
    const int end = min(begin + strips_each, all_strips);
% for r in range(taps_h):
    float ${", ".join(f"sum{r}_{s} = 0.0f" for s in range(taps_w))};
% endfor
    for (int number = begin + item / lanes; number < end; number += GROUP / lanes) {
        const int image = number / strips;
        const int row = (number - image * strips) * ROWS;
        const int y0 = row * STRIDE_H + y_begin;
        const int gradient_at = ((image * filters + filter) * out_height + row) * out_width;
        const int map_at = (image * channels + channel) * height * width;
        for (int column = lane; column < out_width; column += lanes) {
        % for i in range(rows):
            const int live${i} = row + ${i} < out_height;
            const float read${i} = LOAD(gradient, live${i} ? gradient_at + ${i} * out_width + column : 0);
            const float gradient${i} = live${i} ? read${i} : 0.0f;
        % endfor
            const int x0 = column * STRIDE_W + x_begin;
        % for s in range(taps_w):
            const int inside${s} = (uint)(x0 + ${s} * STEP_W) < (uint)width;
        % endfor
        % for line, uses in lines:
            {
                const int y = y0 + ${line};
                const int inside = (uint)y < (uint)height;
                const int at = map_at + y * width + x0;
            % for s in range(taps_w):
                const int holds${s} = inside & inside${s};
                const float read${s} = LOAD(source, holds${s} ? at + ${s} * STEP_W : 0);
                const float value${s} = holds${s} ? read${s} : 0.0f;
            % endfor
            % for i, r in uses:
                % for s in range(taps_w):
                sum${r}_${s} += gradient${i} * value${s};
                % endfor
            % endfor
            }
        % endfor
        }
    }

    __global float *to = partial + ((size_t)get_group_id(1) * filters + filter) * (TAPS_H * TAPS_W);
% for r in range(taps_h):
    % for s in range(taps_w):
    shared[${s} * GROUP + item] = sum${r}_${s};
    % endfor
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int half_way = GROUP / 2; half_way > 0; half_way /= 2) {
        if (item < half_way) {
        % for s in range(taps_w):
            shared[${s} * GROUP + item] += shared[${s} * GROUP + item + half_way];
        % endfor
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (int s = item; s < TAPS_W; s += GROUP) to[${r} * TAPS_W + s] = shared[s * GROUP];
    barrier(CLK_LOCAL_MEM_FENCE);   // all are stored before the next row of taps comes
% endfor
}
