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
#define conv_gemm_weights conv_gemm_weights_0635bf747bac

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
    const int n_tiles = (channels + TILE_N - 1) / TILE_N;
    const int tap = (int)get_group_id(0) / n_tiles;
    const int n0 = ((int)get_group_id(0) - tap * n_tiles) * TILE_N;
    const int y_offset = y_begin + tap / taps_x * y_step;
    const int x_offset = x_begin + tap % taps_x * x_step;
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
    OFFSET gradient_at = (OFFSET)((image * groups + group) * own * pixels + out_y * out_width + out_x + (m0 + load_row) * pixels) * SIZE;
    OFFSET source_at = (OFFSET)((image * groups + group) * channels * plane + y * width + x + (n0 + load_row) * plane) * SIZE;

    float next_a0, next_a1, next_a2, next_a3, next_b0, next_b1, next_b2, next_b3;
    int a_holds;
    int holds;

        {
            const int live = k < k_end;
            a_holds = live;
            const OFFSET a_at = live ? gradient_at : 0;
            next_a0 = LOAD_AT(gradient, START(gradient) + 0, a_at);
            next_a1 = LOAD_AT(gradient, START(gradient) + STEP(1 * (GROUP / TILE_K) * pixels), a_at);
            next_a2 = LOAD_AT(gradient, START(gradient) + STEP(2 * (GROUP / TILE_K) * pixels), a_at);
            next_a3 = LOAD_AT(gradient, START(gradient) + STEP(3 * (GROUP / TILE_K) * pixels), a_at);
            holds = live & ((uint)y < (uint)height) & ((uint)x < (uint)width);
            const OFFSET b_at = holds ? source_at : 0;
            next_b0 = LOAD_AT(source, START(source) + 0, b_at);
            next_b1 = LOAD_AT(source, START(source) + STEP(1 * (GROUP / TILE_K) * plane), b_at);
            next_b2 = LOAD_AT(source, START(source) + STEP(2 * (GROUP / TILE_K) * plane), b_at);
            next_b3 = LOAD_AT(source, START(source) + STEP(3 * (GROUP / TILE_K) * plane), b_at);
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
        b_slot[0 * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_K)] = holds ? next_b0 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_K)] = holds ? next_b1 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_K)] = holds ? next_b2 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_K)] = holds ? next_b3 : 0.0f;
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    int step = 1;
    do {
        {
            const int live = k < k_end;
            a_holds = live;
            const OFFSET a_at = live ? gradient_at : 0;
            next_a0 = LOAD_AT(gradient, START(gradient) + 0, a_at);
            next_a1 = LOAD_AT(gradient, START(gradient) + STEP(1 * (GROUP / TILE_K) * pixels), a_at);
            next_a2 = LOAD_AT(gradient, START(gradient) + STEP(2 * (GROUP / TILE_K) * pixels), a_at);
            next_a3 = LOAD_AT(gradient, START(gradient) + STEP(3 * (GROUP / TILE_K) * pixels), a_at);
            holds = live & ((uint)y < (uint)height) & ((uint)x < (uint)width);
            const OFFSET b_at = holds ? source_at : 0;
            next_b0 = LOAD_AT(source, START(source) + 0, b_at);
            next_b1 = LOAD_AT(source, START(source) + STEP(1 * (GROUP / TILE_K) * plane), b_at);
            next_b2 = LOAD_AT(source, START(source) + STEP(2 * (GROUP / TILE_K) * plane), b_at);
            next_b3 = LOAD_AT(source, START(source) + STEP(3 * (GROUP / TILE_K) * plane), b_at);
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
        b_slot[buffer * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_K)] = holds ? next_b0 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_K)] = holds ? next_b1 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_K)] = holds ? next_b2 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_K)] = holds ? next_b3 : 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (step++ < steps);

    __global float *out = partial + (get_group_id(2) * groups + group) * own * (size_t)(channels * taps);
    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const int n = n0 + 0 * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 0;
            const float4 four = sum0_0;
            if (m < own) out[m * channels * taps + n * taps + tap] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 1;
            const float4 four = sum1_0;
            if (m < own) out[m * channels * taps + n * taps + tap] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 2;
            const float4 four = sum2_0;
            if (m < own) out[m * channels * taps + n * taps + tap] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 3;
            const float4 four = sum3_0;
            if (m < own) out[m * channels * taps + n * taps + tap] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
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
