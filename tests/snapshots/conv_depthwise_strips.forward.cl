// conv_depthwise_strips
#define ACTIVATE(v) ((v) < 0.0f ? (slope == 0.0f ? 0.0f : (v) * slope) : (v))
#define ROWS 2
#define STEP_W (1)
#define STRIDE_H 2
#define STRIDE_W 2
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(256, 1, 1)))
#define conv_depthwise_strips conv_depthwise_strips_d261322d37a3

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
    const int inside0 = (uint)(left + 0 * STEP_W) < (uint)width;
    const int x0 = clamp(left + 0 * STEP_W, 0, width - 1);
    const int inside1 = (uint)(left + 1 * STEP_W) < (uint)width;
    const int x1 = clamp(left + 1 * STEP_W, 0, width - 1);
    const int inside2 = (uint)(left + 2 * STEP_W) < (uint)width;
    const int x2 = clamp(left + 2 * STEP_W, 0, width - 1);
    float sum0 = 0.0f;
    float sum1 = 0.0f;
    {
        const int input = 0;
        const int from_channel = channel / outputs * inputs + input;
        const int map_at = (image * (channels / outputs * inputs) + from_channel) * height * width;
        __global const real *taps = w + (channel * w_out + from_channel * w_in) * taps_stored + tap0;
        const float w0_0 = LOAD(taps, 0 * tap_y_step + 0 * tap_x_step), w0_1 = LOAD(taps, 0 * tap_y_step + 1 * tap_x_step), w0_2 = LOAD(taps, 0 * tap_y_step + 2 * tap_x_step);
        const float w1_0 = LOAD(taps, 1 * tap_y_step + 0 * tap_x_step), w1_1 = LOAD(taps, 1 * tap_y_step + 1 * tap_x_step), w1_2 = LOAD(taps, 1 * tap_y_step + 2 * tap_x_step);
        const float w2_0 = LOAD(taps, 2 * tap_y_step + 0 * tap_x_step), w2_1 = LOAD(taps, 2 * tap_y_step + 1 * tap_x_step), w2_2 = LOAD(taps, 2 * tap_y_step + 2 * tap_x_step);
        {
            const int y = top + 0;
            const int inside = (uint)y < (uint)height;
            const int at = map_at + clamp(y, 0, height - 1) * width;
            const float read0 = LOAD(source, at + x0);
            const float value0 = inside & inside0 ? read0 : 0.0f;
            const float read1 = LOAD(source, at + x1);
            const float value1 = inside & inside1 ? read1 : 0.0f;
            const float read2 = LOAD(source, at + x2);
            const float value2 = inside & inside2 ? read2 : 0.0f;
            sum0 += w0_0 * value0;
            sum0 += w0_1 * value1;
            sum0 += w0_2 * value2;
        }
        {
            const int y = top + 1;
            const int inside = (uint)y < (uint)height;
            const int at = map_at + clamp(y, 0, height - 1) * width;
            const float read0 = LOAD(source, at + x0);
            const float value0 = inside & inside0 ? read0 : 0.0f;
            const float read1 = LOAD(source, at + x1);
            const float value1 = inside & inside1 ? read1 : 0.0f;
            const float read2 = LOAD(source, at + x2);
            const float value2 = inside & inside2 ? read2 : 0.0f;
            sum0 += w1_0 * value0;
            sum0 += w1_1 * value1;
            sum0 += w1_2 * value2;
        }
        {
            const int y = top + 2;
            const int inside = (uint)y < (uint)height;
            const int at = map_at + clamp(y, 0, height - 1) * width;
            const float read0 = LOAD(source, at + x0);
            const float value0 = inside & inside0 ? read0 : 0.0f;
            const float read1 = LOAD(source, at + x1);
            const float value1 = inside & inside1 ? read1 : 0.0f;
            const float read2 = LOAD(source, at + x2);
            const float value2 = inside & inside2 ? read2 : 0.0f;
            sum0 += w2_0 * value0;
            sum0 += w2_1 * value1;
            sum0 += w2_2 * value2;
            sum1 += w0_0 * value0;
            sum1 += w0_1 * value1;
            sum1 += w0_2 * value2;
        }
        {
            const int y = top + 3;
            const int inside = (uint)y < (uint)height;
            const int at = map_at + clamp(y, 0, height - 1) * width;
            const float read0 = LOAD(source, at + x0);
            const float value0 = inside & inside0 ? read0 : 0.0f;
            const float read1 = LOAD(source, at + x1);
            const float value1 = inside & inside1 ? read1 : 0.0f;
            const float read2 = LOAD(source, at + x2);
            const float value2 = inside & inside2 ? read2 : 0.0f;
            sum1 += w1_0 * value0;
            sum1 += w1_1 * value1;
            sum1 += w1_2 * value2;
        }
        {
            const int y = top + 4;
            const int inside = (uint)y < (uint)height;
            const int at = map_at + clamp(y, 0, height - 1) * width;
            const float read0 = LOAD(source, at + x0);
            const float value0 = inside & inside0 ? read0 : 0.0f;
            const float read1 = LOAD(source, at + x1);
            const float value1 = inside & inside1 ? read1 : 0.0f;
            const float read2 = LOAD(source, at + x2);
            const float value2 = inside & inside2 ? read2 : 0.0f;
            sum1 += w2_0 * value0;
            sum1 += w2_1 * value1;
            sum1 += w2_2 * value2;
        }
    }

    const float shift = has_bias ? LOAD(bias, channel) : 0.0f;
    const int to = (plane * out_height + first_y + strip * ROWS * out_step_y) * out_width + first_x + column * out_step_x;
    if (strip * ROWS + 0 < rows) {
        float value = sum0 + shift;
        if (has_residual) value += LOAD(residual, to + 0 * out_step_y * out_width);
        STORE(out, to + 0 * out_step_y * out_width, ACTIVATE(value));
    }
    if (strip * ROWS + 1 < rows) {
        float value = sum1 + shift;
        if (has_residual) value += LOAD(residual, to + 1 * out_step_y * out_width);
        STORE(out, to + 1 * out_step_y * out_width, ACTIVATE(value));
    }
}

#undef ACTIVATE
#undef ROWS
#undef STEP_W
#undef STRIDE_H
#undef STRIDE_W
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_depthwise_strips
