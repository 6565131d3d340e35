## conv_depthwise_strips.cl.mako -- depthwise convolution on plain maps for GPUs: a strip of a column's outputs for each work-item.
##
## A work-item keeps the weights of a channel in registers and computes ROWS outputs below each other, so that neighbouring work-items read
## neighbouring columns, and what several outputs of a strip read is read once. backward_data is called once for each phase, with the taps
## that meet it; channels of the output gradient that belong to one channel are summed. Outside of the map the edge is read and not taken:
## a test is kept for each row and each column, where one for each read would take more registers than there are.
## Index space: get_global_id(0) is ((image, channel of out) * strips + strip) * columns + column.
##
## Header constants: ROWS, STRIDE_H, STRIDE_W (from one output to the next, in the source), STEP_W (from one tap to the next), ACTIVATE.
## Render arguments: several: a channel of out is a sum over several of the source; lines: what each row of the source, counted from the
## strip's first, is used for, pairs (output of the strip, row of taps); taps_h, taps_w (of this call); rows.
<%page args="several, lines, taps_h, taps_w, rows"/>\
__kernel WORK_GROUP
void conv_depthwise_strips(
    __global const real *restrict source,   // N, groups * inputs, height, width
    __global const real *restrict w,        // filters, taps_stored
    __global const real *restrict bias,     // groups * outputs, never read without has_bias
    __global const real *restrict residual, // as out, never read without has_residual
    __global real *restrict out,            // N, groups * outputs, out_height, out_width
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
    const int channels, const int inputs, const int outputs,         // of out; of source and out for each group
    const int w_out, const int w_in,        // 1 where the weights are those of the channel of out, of source, else 0
    const int height, const int width, const int out_height, const int out_width,
    const int strips, const int rows, const int columns,   // positions of this call: row first_y + i * out_step_y
    const int first_y, const int out_step_y, const int first_x, const int out_step_x,
    const int y_offset, const int x_offset, const int tap0, const int tap_y_step, const int tap_x_step, const int taps_stored,
    const int item_count)
{
    const int item = get_global_id(0);
    if (item >= item_count) return;
    const int column = item % columns;
    const int strip = item / columns % strips;
    const int plane = item / columns / strips;
    const int image = plane / channels;
    const int channel = plane - image * channels;
    const int left = column * STRIDE_W + x_offset;
    const int top = strip * ROWS * STRIDE_H + y_offset;
% for s in range(taps_w):
    const int inside${s} = (uint)(left + ${s} * STEP_W) < (uint)width;
    const int x${s} = clamp(left + ${s} * STEP_W, 0, width - 1);
% endfor
% for i in range(rows):
    float sum${i} = 0.0f;
% endfor
% if several:
    for (int input = 0; input < inputs; ++input) {
% else:
    {
        const int input = 0;
% endif
        const int from_channel = channel / outputs * inputs + input;
        const int map_at = (image * (channels / outputs * inputs) + from_channel) * height * width;
        __global const real *taps = w + (channel * w_out + from_channel * w_in) * taps_stored + tap0;
    % for r in range(taps_h):
        const float ${", ".join(f"w{r}_{s} = LOAD(taps, {r} * tap_y_step + {s} * tap_x_step)" for s in range(taps_w))};
    % endfor
    % for line, uses in lines:
        {
            const int y = top + ${line};
            const int inside = (uint)y < (uint)height;
        % if several:
            if (inside) {   // in a loop, the tests of all reads would be kept, which are more than there are registers
        % endif
            const int at = map_at + clamp(y, 0, height - 1) * width;
        % for s in range(taps_w):
            const float read${s} = LOAD(source, at + x${s});
            const float value${s} = inside & inside${s} ? read${s} : 0.0f;
        % endfor
        % for i, r in uses:
            % for s in range(taps_w):
            sum${i} += w${r}_${s} * value${s};
            % endfor
        % endfor
        % if several:
            }
        % endif
        }
    % endfor
    }

    const float shift = has_bias ? LOAD(bias, channel) : 0.0f;
    const int to = (plane * out_height + first_y + strip * ROWS * out_step_y) * out_width + first_x + column * out_step_x;
% for i in range(rows):
    if (strip * ROWS + ${i} < rows) {
        float value = sum${i} + shift;
        if (has_residual) value += LOAD(residual, to + ${i} * out_step_y * out_width);
        STORE(out, to + ${i} * out_step_y * out_width, ACTIVATE(value));
    }
% endfor
}
