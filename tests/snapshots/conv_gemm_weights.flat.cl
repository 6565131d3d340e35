// conv_gemm_weights
#define GROUP 64
#define ITEM_M 4
#define ITEM_N 4
#define LOAD4_AT(p, u, o) (*(__global const float4 *)((__global const char *)(u) + (o)))
#define LOAD_AT(p, u, o) (*(__global const float *)((__global const char *)(u) + (o)))
#define OFFSET uint
#define PITCH_A 36
#define PITCH_B 36
#define POSITION __global const real *
#define SIZE 4
#define START(p) (p)
#define STEP(n) (n)
#define SUB_GROUP 
#define TILE_K 8
#define TILE_M 32
#define TILE_N 32
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define conv_gemm_weights conv_gemm_weights_b7b3181908fd

__kernel WORK_GROUP SUB_GROUP
void conv_gemm_weights(
    __global const real *restrict source,    // N, groups * channels, height, width
    __global const real *restrict gradient,  // N, groups * own, out_height, out_width
    __global float *restrict partial,        // parts, groups * own, channels, taps
    const int batch, const int groups, const int channels, const int own,   // channels and filters of a group
    const int height, const int width, const int out_height, const int out_width,
    const int stride_y, const int stride_x, const int y_begin, const int x_begin, const int y_step, const int x_step,
    const int taps_y, const int taps_x,
    const int step_image, const int step_y, const int step_x,   // TILE_K positions onwards
    const int m_tiles, const int all_positions, const int steps_each)
{
    __local float a_tiles[2 * TILE_K * PITCH_A] __attribute__((aligned(16)));
    __local float b_tiles[2 * TILE_K * PITCH_B] __attribute__((aligned(16)));
    const int item = get_local_id(0);
    const int item_column = item % (TILE_N / ITEM_N);
    const int item_row = item / (TILE_N / ITEM_N);
    const int group = (int)get_group_id(1) / m_tiles;
    const int m_tile = (int)get_group_id(1) - group * m_tiles;
    const int m0 = m_tile * TILE_M;
    const int plane = height * width;
    float4 sum0_0 = (float4)(0.0f);
    float4 sum1_0 = (float4)(0.0f);
    float4 sum2_0 = (float4)(0.0f);
    float4 sum3_0 = (float4)(0.0f);
    const int pixels = out_height * out_width;
    const int taps = taps_y * taps_x;
    const int n0 = get_group_id(0) * TILE_N;
    const int y_offset = y_begin, x_offset = x_begin;
    const int load_k = item % TILE_K;
    const int load_row = item / TILE_K;
    const int k_begin = get_group_id(2) * steps_each * TILE_K;
    const int k_end = min(k_begin + steps_each * TILE_K, all_positions);
    const int steps = (k_end - k_begin + TILE_K - 1) / TILE_K;
    __local float *a_slot = a_tiles + load_k * PITCH_A + load_row;
    __local float *b_slot = b_tiles + load_k * PITCH_B + load_row;

    // The position k as where it is read from, row y and column x of the input for the first tap, and what moves it TILE_K positions
    // onwards: so much at each step, more into the next row, and more into the next image.
    int k = k_begin + load_k;
    const int image = k / pixels;
    const int out_y = (k - image * pixels) / out_width;
    const int out_x = k - image * pixels - out_y * out_width;
    int y = out_y * stride_y + y_offset;
    int x = out_x * stride_x + x_offset;
    const int x_onwards = step_x * stride_x, x_row = out_width * stride_x, x_end = x_row + x_offset;
    const int y_onwards = step_y * stride_y, y_image = out_height * stride_y, y_end = y_image + y_offset;
    const int gap = (groups * own - 1) * pixels;
    const OFFSET gradient_onwards = (OFFSET)(TILE_K + step_image * gap) * SIZE, gradient_gap = (OFFSET)gap * SIZE;
    const int image_size = groups * channels * plane;
    const OFFSET source_onwards = (OFFSET)(step_image * image_size + y_onwards * width + x_onwards) * SIZE;
    const OFFSET source_row = (OFFSET)(stride_y * width - x_row) * SIZE, source_gap = (OFFSET)(image_size - y_image * width) * SIZE;
    OFFSET gradient_at = (OFFSET)((image * groups + group) * own * pixels + out_y * out_width + out_x) * SIZE;
    OFFSET source_at = (OFFSET)((image * groups + group) * channels * plane + y * width + x) * SIZE;

    float next_a0, next_a1, next_a2, next_a3, next_b0, next_b1, next_b2, next_b3;
    int a_holds;
    // A filter beyond the last repeats it and is not stored.
    const OFFSET a0_row = (OFFSET)(min(m0 + load_row + 0 * (GROUP / TILE_K), own - 1) * pixels) * SIZE;
    const OFFSET a1_row = (OFFSET)(min(m0 + load_row + 1 * (GROUP / TILE_K), own - 1) * pixels) * SIZE;
    const OFFSET a2_row = (OFFSET)(min(m0 + load_row + 2 * (GROUP / TILE_K), own - 1) * pixels) * SIZE;
    const OFFSET a3_row = (OFFSET)(min(m0 + load_row + 3 * (GROUP / TILE_K), own - 1) * pixels) * SIZE;
    OFFSET b0_from;
    int b0_down, b0_right;
    {
        const int n = min(n0 + load_row + 0 * (GROUP / TILE_K), channels * taps - 1);
        const int c = n / taps;
        const int t = (n - c * taps) / taps_x;
        b0_down = t * y_step;
        b0_right = (n - c * taps - t * taps_x) * x_step;
        b0_from = (OFFSET)(c * plane + b0_down * width + b0_right) * SIZE;
    }
    OFFSET b1_from;
    int b1_down, b1_right;
    {
        const int n = min(n0 + load_row + 1 * (GROUP / TILE_K), channels * taps - 1);
        const int c = n / taps;
        const int t = (n - c * taps) / taps_x;
        b1_down = t * y_step;
        b1_right = (n - c * taps - t * taps_x) * x_step;
        b1_from = (OFFSET)(c * plane + b1_down * width + b1_right) * SIZE;
    }
    OFFSET b2_from;
    int b2_down, b2_right;
    {
        const int n = min(n0 + load_row + 2 * (GROUP / TILE_K), channels * taps - 1);
        const int c = n / taps;
        const int t = (n - c * taps) / taps_x;
        b2_down = t * y_step;
        b2_right = (n - c * taps - t * taps_x) * x_step;
        b2_from = (OFFSET)(c * plane + b2_down * width + b2_right) * SIZE;
    }
    OFFSET b3_from;
    int b3_down, b3_right;
    {
        const int n = min(n0 + load_row + 3 * (GROUP / TILE_K), channels * taps - 1);
        const int c = n / taps;
        const int t = (n - c * taps) / taps_x;
        b3_down = t * y_step;
        b3_right = (n - c * taps - t * taps_x) * x_step;
        b3_from = (OFFSET)(c * plane + b3_down * width + b3_right) * SIZE;
    }
    int b0_holds, b1_holds, b2_holds, b3_holds;

        {
            const int live = k < k_end;
            a_holds = live;
            next_a0 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a0_row : 0);
            next_a1 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a1_row : 0);
            next_a2 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a2_row : 0);
            next_a3 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a3_row : 0);
            b0_holds = live & ((uint)(y + b0_down) < (uint)height) & ((uint)(x + b0_right) < (uint)width);
            next_b0 = LOAD_AT(source, START(source), b0_holds ? source_at + b0_from : 0);
            b1_holds = live & ((uint)(y + b1_down) < (uint)height) & ((uint)(x + b1_right) < (uint)width);
            next_b1 = LOAD_AT(source, START(source), b1_holds ? source_at + b1_from : 0);
            b2_holds = live & ((uint)(y + b2_down) < (uint)height) & ((uint)(x + b2_right) < (uint)width);
            next_b2 = LOAD_AT(source, START(source), b2_holds ? source_at + b2_from : 0);
            b3_holds = live & ((uint)(y + b3_down) < (uint)height) & ((uint)(x + b3_right) < (uint)width);
            next_b3 = LOAD_AT(source, START(source), b3_holds ? source_at + b3_from : 0);
            k += TILE_K;
            x += x_onwards;
            const int next_row = x >= x_end;
            x -= next_row ? x_row : 0;
            y += y_onwards + (next_row ? stride_y : 0);
            const int next_image = y >= y_end;
            y -= next_image ? y_image : 0;
            gradient_at += gradient_onwards + (next_image ? gradient_gap : 0);
            source_at += source_onwards + (next_row ? source_row : 0) + (next_image ? source_gap : 0);
        }
        a_slot[0 * (TILE_K * PITCH_A) + 0 * (GROUP / TILE_K)] = a_holds ? next_a0 : 0.0f;
        a_slot[0 * (TILE_K * PITCH_A) + 1 * (GROUP / TILE_K)] = a_holds ? next_a1 : 0.0f;
        a_slot[0 * (TILE_K * PITCH_A) + 2 * (GROUP / TILE_K)] = a_holds ? next_a2 : 0.0f;
        a_slot[0 * (TILE_K * PITCH_A) + 3 * (GROUP / TILE_K)] = a_holds ? next_a3 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_K)] = b0_holds ? next_b0 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_K)] = b1_holds ? next_b1 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_K)] = b2_holds ? next_b2 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_K)] = b3_holds ? next_b3 : 0.0f;
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    int step = 1;
    do {
        {
            const int live = k < k_end;
            a_holds = live;
            next_a0 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a0_row : 0);
            next_a1 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a1_row : 0);
            next_a2 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a2_row : 0);
            next_a3 = LOAD_AT(gradient, START(gradient), live ? gradient_at + a3_row : 0);
            b0_holds = live & ((uint)(y + b0_down) < (uint)height) & ((uint)(x + b0_right) < (uint)width);
            next_b0 = LOAD_AT(source, START(source), b0_holds ? source_at + b0_from : 0);
            b1_holds = live & ((uint)(y + b1_down) < (uint)height) & ((uint)(x + b1_right) < (uint)width);
            next_b1 = LOAD_AT(source, START(source), b1_holds ? source_at + b1_from : 0);
            b2_holds = live & ((uint)(y + b2_down) < (uint)height) & ((uint)(x + b2_right) < (uint)width);
            next_b2 = LOAD_AT(source, START(source), b2_holds ? source_at + b2_from : 0);
            b3_holds = live & ((uint)(y + b3_down) < (uint)height) & ((uint)(x + b3_right) < (uint)width);
            next_b3 = LOAD_AT(source, START(source), b3_holds ? source_at + b3_from : 0);
            k += TILE_K;
            x += x_onwards;
            const int next_row = x >= x_end;
            x -= next_row ? x_row : 0;
            y += y_onwards + (next_row ? stride_y : 0);
            const int next_image = y >= y_end;
            y -= next_image ? y_image : 0;
            gradient_at += gradient_onwards + (next_image ? gradient_gap : 0);
            source_at += source_onwards + (next_row ? source_row : 0) + (next_image ? source_gap : 0);
        }
        {
            __local const float *a_now = a_tiles + buffer * (TILE_K * PITCH_A) + item_row * 4;
            __local const float *b_now = b_tiles + buffer * (TILE_K * PITCH_B) + item_column * 4;
            #pragma unroll
            for (int k = 0; k < TILE_K; ++k) {
                const float4 a0 = *(__local const float4 *)(a_now + k * PITCH_A + 0 * (TILE_M * 4 / ITEM_M));
                const float4 b0 = *(__local const float4 *)(b_now + k * PITCH_B + 0 * (TILE_N * 4 / ITEM_N));
                sum0_0 += a0.s0 * b0;
                sum1_0 += a0.s1 * b0;
                sum2_0 += a0.s2 * b0;
                sum3_0 += a0.s3 * b0;
            }
        }
        buffer ^= 1;
        a_slot[buffer * (TILE_K * PITCH_A) + 0 * (GROUP / TILE_K)] = a_holds ? next_a0 : 0.0f;
        a_slot[buffer * (TILE_K * PITCH_A) + 1 * (GROUP / TILE_K)] = a_holds ? next_a1 : 0.0f;
        a_slot[buffer * (TILE_K * PITCH_A) + 2 * (GROUP / TILE_K)] = a_holds ? next_a2 : 0.0f;
        a_slot[buffer * (TILE_K * PITCH_A) + 3 * (GROUP / TILE_K)] = a_holds ? next_a3 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_K)] = b0_holds ? next_b0 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_K)] = b1_holds ? next_b1 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_K)] = b2_holds ? next_b2 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_K)] = b3_holds ? next_b3 : 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (step++ < steps);

    __global float *out = partial + (get_group_id(2) * groups + group) * own * (size_t)(channels * taps);
    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const int n = n0 + 0 * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        if (n >= channels * taps) continue;
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 0;
            const float4 four = sum0_0;
            if (m < own) out[m * channels * taps + n] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 1;
            const float4 four = sum1_0;
            if (m < own) out[m * channels * taps + n] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 2;
            const float4 four = sum2_0;
            if (m < own) out[m * channels * taps + n] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 3;
            const float4 four = sum3_0;
            if (m < own) out[m * channels * taps + n] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
    }
}

#undef GROUP
#undef ITEM_M
#undef ITEM_N
#undef LOAD4_AT
#undef LOAD_AT
#undef OFFSET
#undef PITCH_A
#undef PITCH_B
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
#undef conv_gemm_weights
