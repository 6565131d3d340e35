// conv_gemm_subgroups
#define ACTIVATE(v) ((v) < 0.0f ? (slope == 0.0f ? 0.0f : (v) * slope) : (v))
#define BLOCK_AT(p, u) as_float2(intel_sub_group_block_read2((__global const uint *)(u)))
#define ITEM_M 16
#define ITEM_N 1
#define LANES 8
#define LOAD4_AT(p, u, o) (*(__global const float4 *)((__global const char *)(u) + (o)))
#define LOAD_AT(p, u, o) (*(__global const float *)((__global const char *)(u) + (o)))
#define OFFSET uint
#define POSITION __global const real *
#define SIZE 4
#define START(p) (p)
#define STEP(n) (n)
#define SUB_GROUP __attribute__((intel_reqd_sub_group_size(8)))
#define TILE_K 8
#define TILE_M 16
#define TILE_N 8
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(8, 1, 1)))
#define conv_gemm_subgroups conv_gemm_subgroups_915a0ef9d86b

__kernel WORK_GROUP SUB_GROUP
void conv_gemm_subgroups(
    __global const real *restrict source,   // N, groups * inputs, height, width
    __global const real *restrict w,        // groups, tiles of m, blocks of TILE_K inputs, taps_stored, TILE_K, TILE_M
    __global const real *restrict bias,     // groups * outputs, never read without has_bias
    __global const real *restrict residual, // as out, never read without has_residual
    __global real *restrict out,            // N, groups * outputs, out_height, out_width
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
    const int batch, const int groups, const int inputs, const int outputs,   // channels of a group
    const int height, const int width, const int out_height, const int out_width,
    const int rows, const int columns,      // positions of this call: row first_y + i * out_step_y
    const int first_y, const int out_step_y, const int first_x, const int out_step_x,
    const int y_offset, const int y_stride, const int y_step, const int taps_y,   // row i, tap t read y_offset + i * y_stride + t * y_step
    const int x_offset, const int x_stride, const int x_step, const int taps_x,
    const int tap0, const int tap_y_step, const int tap_x_step, const int taps_stored,   // where tap (t, u) is stored
    const int m_tiles, const int all_steps, const int steps_each)
{
    const int lane = get_sub_group_local_id();
    const int sub_row = (int)get_sub_group_id() / (TILE_N / (LANES * ITEM_N));
    const int sub_column = (int)get_sub_group_id() % (TILE_N / (LANES * ITEM_N));
    const int group = (int)get_group_id(1) / m_tiles;
    const int m_tile = (int)get_group_id(1) - group * m_tiles;
    const int m0 = m_tile * TILE_M + sub_row * ITEM_M;
    const int plane = height * width;
    const int pixels = rows * columns;
    const uint total = (uint)batch * pixels;
    const uint n0 = get_group_id(0) * TILE_N + sub_column * (LANES * ITEM_N) + lane;
    const int steps = min(steps_each, all_steps - (int)get_group_id(2) * steps_each);
    const int first_step = steps > 0 ? (int)get_group_id(2) * steps_each : 0;
    float sum0_0 = 0.0f;
    float sum1_0 = 0.0f;
    float sum2_0 = 0.0f;
    float sum3_0 = 0.0f;
    float sum4_0 = 0.0f;
    float sum5_0 = 0.0f;
    float sum6_0 = 0.0f;
    float sum7_0 = 0.0f;
    float sum8_0 = 0.0f;
    float sum9_0 = 0.0f;
    float sum10_0 = 0.0f;
    float sum11_0 = 0.0f;
    float sum12_0 = 0.0f;
    float sum13_0 = 0.0f;
    float sum14_0 = 0.0f;
    float sum15_0 = 0.0f;

    const int blocks = (inputs + TILE_K - 1) / TILE_K;
    const int tap = first_step / blocks;
    int c0 = (first_step - tap * blocks) * TILE_K;
    const POSITION w_tile = START(w) + STEP((group * m_tiles + m_tile) * blocks * taps_stored * (TILE_K * TILE_M) + sub_row * ITEM_M);
    POSITION channel = START(source) + STEP(c0 * plane);
    POSITION w_at;
    // Column 0: where it reads from the first tap on, and from the present one.
    const int load_n0 = min(n0 + 0 * LANES, total - 1);
    const int image0 = load_n0 / pixels;
    const int pixel0 = load_n0 - image0 * pixels;
    const int y0 = pixel0 / columns * y_stride + y_offset;
    const int x0 = pixel0 % columns * x_stride + x_offset;
    const OFFSET first_at0 = (OFFSET)((image0 * groups + group) * inputs * plane + y0 * width + x0) * SIZE;
    OFFSET source_at0;
    int inside0;
    int tap_y = tap / taps_x;
    int tap_x = tap - tap_y * taps_x;
    int down = tap_y * y_step, right = tap_x * x_step;
    int w_row = tap0 + tap_y * tap_y_step;
    int w_tap = w_row + tap_x * tap_x_step;
    inside0 = ((uint)(y0 + down) < (uint)height) & ((uint)(x0 + right) < (uint)width) ? -1 : 0;
    source_at0 = inside0 ? first_at0 + (OFFSET)(down * width + right) * SIZE : 0;
    w_at = w_tile + STEP(w_tap * (TILE_K * TILE_M));
    w_at += STEP(c0 * (taps_stored * TILE_M));

    int step = 1;
    do {
        #pragma unroll
        for (int k = 0; k < TILE_K; ++k) {
            const float2 a = BLOCK_AT(w, w_at + STEP(k * TILE_M));
            float b0 = LOAD_AT(source, channel + STEP(k * plane), source_at0);
            b0 = as_float(as_int(b0) & inside0);
            {
                const float row = sub_group_broadcast(a.s0, 0);
                sum0_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s0, 1);
                sum1_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s0, 2);
                sum2_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s0, 3);
                sum3_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s0, 4);
                sum4_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s0, 5);
                sum5_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s0, 6);
                sum6_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s0, 7);
                sum7_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 0);
                sum8_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 1);
                sum9_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 2);
                sum10_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 3);
                sum11_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 4);
                sum12_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 5);
                sum13_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 6);
                sum14_0 += row * b0;
            }
            {
                const float row = sub_group_broadcast(a.s1, 7);
                sum15_0 += row * b0;
            }
        }
        c0 += TILE_K;
        channel += STEP(TILE_K * plane);
        w_at += STEP(taps_stored * (TILE_K * TILE_M));
        if (c0 >= inputs) {
            c0 = 0;
            channel = START(source);
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
            inside0 = ((uint)(y0 + down) < (uint)height) & ((uint)(x0 + right) < (uint)width) ? -1 : 0;
            source_at0 = inside0 ? first_at0 + (OFFSET)(down * width + right) * SIZE : 0;
            w_at = w_tile + STEP(w_tap * (TILE_K * TILE_M));
        }
    } while (step++ < steps);

    const int out_plane = out_height * out_width;
    if (n0 + 0 * LANES < total) {
        const uint n = n0 + 0 * LANES;
        const int image = n / pixels;
        const int pixel = n - image * pixels;
        const int row = pixel / columns;
        const int at = (image * groups + group) * outputs * out_plane + (first_y + row * out_step_y) * out_width
            + first_x + (pixel - row * columns) * out_step_x;
        {
            const int m = m0 + 0;
            float value = sum0_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 1;
            float value = sum1_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 2;
            float value = sum2_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 3;
            float value = sum3_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 4;
            float value = sum4_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 5;
            float value = sum5_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 6;
            float value = sum6_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 7;
            float value = sum7_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 8;
            float value = sum8_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 9;
            float value = sum9_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 10;
            float value = sum10_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 11;
            float value = sum11_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 12;
            float value = sum12_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 13;
            float value = sum13_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 14;
            float value = sum14_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
        {
            const int m = m0 + 15;
            float value = sum15_0;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            }
        }
    }
}

#undef ACTIVATE
#undef BLOCK_AT
#undef ITEM_M
#undef ITEM_N
#undef LANES
#undef LOAD4_AT
#undef LOAD_AT
#undef OFFSET
#undef POSITION
#undef SIZE
#undef START
#undef STEP
#undef SUB_GROUP
#undef TILE_K
#undef TILE_M
#undef TILE_N
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_gemm_subgroups
