## conv_gemm_walk.cl.mako -- what the kernels that multiply maps by packed weights share: arguments, the walk through taps and channels, results.
##
## A step of the sum has one tap, which comes outermost, and TILE_K channels from c0 on. Geometry is arguments: forward and backward-data.
## A kernel says what moves with the tap in `take_tap(indent)`, and has `plane`, `pixels`, `group`, m, n and the positions that it walks with:
## `channel` and `w_at` (see POSITION in gemm.cl.mako), `w_tile`, `tap`.
## The kernel's arguments; `weights`: the axes of w behind the tiles of m.
<%def name="arguments(split, weights)">\
    __global const real *restrict source,   // N, groups * inputs, height, width
    __global const real *restrict w,        // groups, tiles of m, ${weights}
    % if split:
    __global float *restrict partial,       // parts, N, groups * outputs, out_height, out_width
    % else:
    __global const real *restrict bias,     // groups * outputs, never read without has_bias
    __global const real *restrict residual, // as out, never read without has_residual
    __global real *restrict out,            // N, groups * outputs, out_height, out_width
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
    % endif
    const int batch, const int groups, const int inputs, const int outputs,   // channels of a group
    const int height, const int width, const int out_height, const int out_width,
    const int rows, const int columns,      // positions of this call: row first_y + i * out_step_y
    const int first_y, const int out_step_y, const int first_x, const int out_step_x,
    const int y_offset, const int y_stride, const int y_step, const int taps_y,   // row i, tap t read y_offset + i * y_stride + t * y_step
    const int x_offset, const int x_stride, const int x_step, const int taps_x,
    const int tap0, const int tap_y_step, const int tap_x_step, const int taps_stored,   // where tap (t, u) is stored
    const int m_tiles, const int all_steps, const int steps_each)
</%def>\
## Which steps are this work-group's.
<%def name="share_of_steps()">\
    const int steps = min(steps_each, all_steps - (int)get_group_id(2) * steps_each);
    const int first_step = steps > 0 ? (int)get_group_id(2) * steps_each : 0;
</%def>\
## The first step's tap.
<%def name="first_tap(take_tap)">\
    int tap_y = tap / taps_x;
    int tap_x = tap - tap_y * taps_x;
    int down = tap_y * y_step, right = tap_x * x_step;
    int w_row = tap0 + tap_y * tap_y_step;
    int w_tap = w_row + tap_x * tap_x_step;
${take_tap("    ")}\
    w_at += STEP(c0 * (taps_stored * TILE_M));
</%def>\
## On to the next step, of the next tap where the channels are through, and to the first one behind the last. `taps`: there are several.
<%def name="next_step(taps, take_tap)">\
        c0 += TILE_K;
        channel += STEP(TILE_K * plane);
        w_at += STEP(taps_stored * (TILE_K * TILE_M));
        if (c0 >= inputs) {
            c0 = 0;
            channel = START(source);
            % if taps:
            right += x_step;
            w_tap += tap_x_step;
            if (++tap_x == taps_x) {
                tap_x = right = 0;
                down += y_step;
                w_tap = w_row += tap_y_step;
                if (++tap_y == taps_y) {
                    tap_y = down = 0;
                    w_tap = w_row = tap0;
                }
            }
${take_tap("            ")}\
            % else:
            w_at = w_tile + STEP(tap0 * (TILE_K * TILE_M));
            % endif
        }
</%def>\
## Where column n is in the result, of output channel 0.
<%def name="position()">\
        const int image = n / pixels;
        const int pixel = n - image * pixels;
        const int row = pixel / columns;
        const int at = (image * groups + group) * outputs * out_plane + (first_y + row * out_step_y) * out_width
            + first_x + (pixel - row * columns) * out_step_x;
</%def>\
## Finishes and stores `value`, of output channel m.
<%def name="store(split)">\
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
            % if split:
                partial[(get_group_id(2) * batch * groups * outputs * (size_t)out_plane) + at + m * out_plane] = value;
            % else:
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            % endif
            }
</%def>\
