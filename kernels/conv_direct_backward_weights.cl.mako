## conv_direct_backward_weights.cl.mako -- dw[k, c, tap] = sum over n and outputs of dy[n, k, output] * x[n, c, input that tap meets].
##
## Entry conv_direct_weights: one work-item sums tile_k output channels x tile_c input channels x tile_s kernel columns, of one kernel row,
## over a run of output rows (n, d, p), LANES columns at once, into its own slice of `partial`. x is staged (see conv_direct_stage), and so
## is dy, with zeros up to the next vector; the lanes beyond an output row are masked in x, whose real values (NaN too) may stand there.
## Index space, fastest first:
##     get_global_id(0)  (channel tile, kernel d, kernel h, tile of kernel w), the last one fastest
##     get_global_id(1)  group * filter tiles + filter tile
##     get_global_id(2)  split: which run of output rows
## Entry conv_direct_sum: dw = the sum of the splits; get_global_id(0): run of CHUNK elements.
## Header constants: LANES, LANE_IDS, KERNEL_*, STRIDE_*, DILATION_*, TILE_K, TILE_C, TILE_S, TILES_S, READ_STAGED, WRITE_LANES, vec, mask; CHUNK.
## Render arguments: entry, tile_k, tile_c, tile_s, masked (whether LANES > 1).
<%page args="entry, tile_k=0, tile_c=0, tile_s=0, masked=False"/>\
<%def name="multiply(tail)">\
            % for k in range(tile_k):
                const vec dy_${k} = READ_STAGED(dy_row + dy_${k}_at + q);
            % endfor
            % for c in range(tile_c):
            % for s in range(tile_s):
            % if tail:
                const vec x_${c}_${s} = inside ? READ_STAGED(x_row + x_${c}_at + column_${s} + q) : (vec)(0.0f);
            % else:
                const vec x_${c}_${s} = READ_STAGED(x_row + x_${c}_at + column_${s} + q);
            % endif
            % for k in range(tile_k):
                sum_${k}_${c}_${s} += x_${c}_${s} * dy_${k};
            % endfor
            % endfor
            % endfor
</%def>\
% if entry == "conv_direct_weights":
__kernel WORK_GROUP
void conv_direct_weights(
    __global const float *restrict x,       // N, C, staged D, staged H, STRIDE_W, pitch
    __global const float *restrict dy,      // N, K, out D, out H, dy_pitch
    __global float *restrict partial,       // splits, K, C / groups, KERNEL_D, KERNEL_H, KERNEL_W
    const int batch, const int groups, const int own, const int channels,   // of a group: filters, input channels
    const int staged_depth, const int staged_height, const int pitch,
    const int out_depth, const int out_height, const int out_width, const int dy_pitch,
    const int tiles_c, const int tiles_k, const int rows_each)
{
    int rest = get_global_id(0);
    const int s0 = rest % TILES_S * TILE_S;
    rest /= TILES_S;
    const int kernel_h = rest % KERNEL_H;
    rest /= KERNEL_H;
    const int kernel_d = rest % KERNEL_D;
    const int c0 = rest / KERNEL_D * TILE_C;
    if (c0 >= channels) return;
    const int group = get_global_id(1) / tiles_k;
    const int k0 = get_global_id(1) % tiles_k * TILE_K;
    const int split = get_global_id(2);

    const int row_size = STRIDE_W * pitch;
    const int plane_size = staged_depth * staged_height * row_size;
    const int dy_plane = out_depth * out_height * dy_pitch;
    // Filters, channels and taps beyond the last repeat the last one and are not stored.
% for k in range(tile_k):
    const int dy_${k}_at = (group * own + (k0 + ${k} < own ? k0 + ${k} : own - 1)) * dy_plane;
% endfor
% for c in range(tile_c):
    const int x_${c}_at = (group * channels + (c0 + ${c} < channels ? c0 + ${c} : channels - 1)) * plane_size;
% endfor
% for s in range(tile_s):
    const int tap_${s} = (s0 + ${s} < KERNEL_W ? s0 + ${s} : KERNEL_W - 1) * DILATION_W;
    const int column_${s} = tap_${s} % STRIDE_W * pitch + tap_${s} / STRIDE_W;
% endfor
% for k in range(tile_k):
% for c in range(tile_c):
    vec ${", ".join(f"sum_{k}_{c}_{s} = 0.0f" for s in range(tile_s))};
% endfor
% endfor

    const int rows = batch * out_depth * out_height;
    int row = split * rows_each;
    const int row_end = rows - row < rows_each ? rows : row + rows_each;
% if masked:
    const int q_full = out_width / LANES * LANES;
    const mask inside = LANE_IDS < (mask)(out_width - q_full);
% else:
    const int q_full = out_width;
% endif
    while (row < row_end) {
        const int p0 = row % out_height;
        const int n = row / out_height / out_depth;
        const int z = row / out_height % out_depth;
        const int stop = row_end - row < out_height - p0 ? row_end : row + out_height - p0;
        __global const float *restrict dy_row = dy + n * groups * own * dy_plane + (z * out_height + p0) * dy_pitch;
        __global const float *restrict x_row = x + n * groups * channels * plane_size
            + ((z * STRIDE_D + kernel_d * DILATION_D) * staged_height + p0 * STRIDE_H + kernel_h * DILATION_H) * row_size;
        for (; row < stop; ++row, dy_row += dy_pitch, x_row += STRIDE_H * row_size) {
            for (int q = 0; q < q_full; q += LANES) {
${multiply(False)}\
            }
        % if masked:
            if (q_full < out_width) {
                const int q = q_full;
${multiply(True)}\
            }
        % endif
        }
    }

    vec sums[TILE_K][TILE_C][TILE_S];
% for k in range(tile_k):
% for c in range(tile_c):
% for s in range(tile_s):
    sums[${k}][${c}][${s}] = sum_${k}_${c}_${s};
% endfor
% endfor
% endfor
    for (int k = 0; k < TILE_K && k0 + k < own; ++k) {
        for (int c = 0; c < TILE_C && c0 + c < channels; ++c) {
            const int filter = split * groups * own + group * own + k0 + k;
            const int at = (((filter * channels + c0 + c) * KERNEL_D + kernel_d) * KERNEL_H + kernel_h) * KERNEL_W + s0;
            for (int s = 0; s < TILE_S && s0 + s < KERNEL_W; ++s) {
                float lanes[LANES];
                WRITE_LANES(sums[k][c][s], lanes);
                for (int half_way = LANES / 2; half_way > 0; half_way /= 2) {
                    for (int l = 0; l < half_way; ++l) lanes[l] += lanes[l + half_way];
                }
                partial[at + s] = lanes[0];
            }
        }
    }
}
% else:
__kernel WORK_GROUP
void conv_direct_sum(
    __global const float *restrict partial, // splits, count
    __global real *restrict dw,             // count
    const int count, const int splits)
{
    const int first = get_global_id(0) * CHUNK;
    const int most = count - first < CHUNK ? count - first : CHUNK;
    float sums[CHUNK];
    for (int i = 0; i < most; ++i) sums[i] = 0.0f;
    for (int split = 0; split < splits; ++split) {
        for (int i = 0; i < most; ++i) sums[i] += partial[split * count + first + i];
    }
    for (int i = 0; i < most; ++i) STORE(dw, first + i, sums[i]);
}
% endif
