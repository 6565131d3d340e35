// conv_direct_backward_weights
#define DILATION_D (1)
#define DILATION_H (2)
#define DILATION_W (2)
#define KERNEL_D (1)
#define KERNEL_H (3)
#define KERNEL_W (3)
#define LANES 8
#define LANE_IDS ((int8)(0, 1, 2, 3, 4, 5, 6, 7))
#define READ(p) (((__global const struct __attribute__((packed)) { float8 all; } *)(p))->all)
#define READ_LANES(p) (((const struct __attribute__((packed)) { float8 all; } *)(p))->all)
#define READ_STAGED(p) (((__global const struct __attribute__((packed)) { float8 all; } *)(p))->all)
#define STRIDE_D (1)
#define STRIDE_H (2)
#define STRIDE_W (2)
#define TILES_S 1
#define TILE_C 1
#define TILE_K 2
#define TILE_S 3
#define WRITE(v, p) (((__global struct __attribute__((packed)) { float8 all; } *)(p))->all = (v))
#define WRITE_LANES(v, p) (((__private struct __attribute__((packed)) { float8 all; } *)(p))->all = (v))
#define mask int8
#define vec float8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(1, 1, 1)))
#define conv_direct_weights conv_direct_weights_c04c561fe61d

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
    const int dy_0_at = (group * own + (k0 + 0 < own ? k0 + 0 : own - 1)) * dy_plane;
    const int dy_1_at = (group * own + (k0 + 1 < own ? k0 + 1 : own - 1)) * dy_plane;
    const int x_0_at = (group * channels + (c0 + 0 < channels ? c0 + 0 : channels - 1)) * plane_size;
    const int tap_0 = (s0 + 0 < KERNEL_W ? s0 + 0 : KERNEL_W - 1) * DILATION_W;
    const int column_0 = tap_0 % STRIDE_W * pitch + tap_0 / STRIDE_W;
    const int tap_1 = (s0 + 1 < KERNEL_W ? s0 + 1 : KERNEL_W - 1) * DILATION_W;
    const int column_1 = tap_1 % STRIDE_W * pitch + tap_1 / STRIDE_W;
    const int tap_2 = (s0 + 2 < KERNEL_W ? s0 + 2 : KERNEL_W - 1) * DILATION_W;
    const int column_2 = tap_2 % STRIDE_W * pitch + tap_2 / STRIDE_W;
    vec sum_0_0_0 = 0.0f, sum_0_0_1 = 0.0f, sum_0_0_2 = 0.0f;
    vec sum_1_0_0 = 0.0f, sum_1_0_1 = 0.0f, sum_1_0_2 = 0.0f;

    const int rows = batch * out_depth * out_height;
    int row = split * rows_each;
    const int row_end = rows - row < rows_each ? rows : row + rows_each;
    const int q_full = out_width / LANES * LANES;
    const mask inside = LANE_IDS < (mask)(out_width - q_full);
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
                const vec dy_0 = READ_STAGED(dy_row + dy_0_at + q);
                const vec dy_1 = READ_STAGED(dy_row + dy_1_at + q);
                const vec x_0_0 = READ_STAGED(x_row + x_0_at + column_0 + q);
                sum_0_0_0 += x_0_0 * dy_0;
                sum_1_0_0 += x_0_0 * dy_1;
                const vec x_0_1 = READ_STAGED(x_row + x_0_at + column_1 + q);
                sum_0_0_1 += x_0_1 * dy_0;
                sum_1_0_1 += x_0_1 * dy_1;
                const vec x_0_2 = READ_STAGED(x_row + x_0_at + column_2 + q);
                sum_0_0_2 += x_0_2 * dy_0;
                sum_1_0_2 += x_0_2 * dy_1;
            }
            if (q_full < out_width) {
                const int q = q_full;
                const vec dy_0 = READ_STAGED(dy_row + dy_0_at + q);
                const vec dy_1 = READ_STAGED(dy_row + dy_1_at + q);
                const vec x_0_0 = inside ? READ_STAGED(x_row + x_0_at + column_0 + q) : (vec)(0.0f);
                sum_0_0_0 += x_0_0 * dy_0;
                sum_1_0_0 += x_0_0 * dy_1;
                const vec x_0_1 = inside ? READ_STAGED(x_row + x_0_at + column_1 + q) : (vec)(0.0f);
                sum_0_0_1 += x_0_1 * dy_0;
                sum_1_0_1 += x_0_1 * dy_1;
                const vec x_0_2 = inside ? READ_STAGED(x_row + x_0_at + column_2 + q) : (vec)(0.0f);
                sum_0_0_2 += x_0_2 * dy_0;
                sum_1_0_2 += x_0_2 * dy_1;
            }
        }
    }

    vec sums[TILE_K][TILE_C][TILE_S];
    sums[0][0][0] = sum_0_0_0;
    sums[0][0][1] = sum_0_0_1;
    sums[0][0][2] = sum_0_0_2;
    sums[1][0][0] = sum_1_0_0;
    sums[1][0][1] = sum_1_0_1;
    sums[1][0][2] = sum_1_0_2;
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

#undef DILATION_D
#undef DILATION_H
#undef DILATION_W
#undef KERNEL_D
#undef KERNEL_H
#undef KERNEL_W
#undef LANES
#undef LANE_IDS
#undef READ
#undef READ_LANES
#undef READ_STAGED
#undef STRIDE_D
#undef STRIDE_H
#undef STRIDE_W
#undef TILES_S
#undef TILE_C
#undef TILE_K
#undef TILE_S
#undef WRITE
#undef WRITE_LANES
#undef mask
#undef vec
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_direct_weights
