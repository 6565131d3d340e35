// conv_gemm
#define GROUP 64
#define ITEM_M 4
#define ITEM_N 4
#define LOAD4_AT(p, u, o) vload_half4(0, (__global const half *)((__global const char *)(p) + ((u) + (o))))
#define LOAD_AT(p, u, o) vload_half(0, (__global const half *)((__global const char *)(p) + ((u) + (o))))
#define OFFSET uint
#define PITCH_A 32
#define PITCH_B 32
#define POSITION OFFSET
#define SIZE 2
#define START(p) 0
#define STEP(n) ((OFFSET)(n) * SIZE)
#define SUB_GROUP 
#define TABLE 512
#define TILE_K 8
#define TILE_M 32
#define TILE_N 32
#define real half
#define LOAD(p, i) vload_half((i), (p))
#define STORE(p, i, v) vstore_half((v), (i), (p))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define conv_gemm conv_gemm_ece1a13edd37

__kernel WORK_GROUP SUB_GROUP
void conv_gemm(
    __global const real *restrict source,   // N, groups * inputs, height, width
    __global const real *restrict w,        // groups, tiles of m, inputs, taps_stored, TILE_M
    __global float *restrict partial,       // parts, N, groups * outputs, out_height, out_width
    const int batch, const int groups, const int inputs, const int outputs,   // channels of a group
    const int height, const int width, const int out_height, const int out_width,
    const int rows, const int columns,      // positions of this call: row first_y + i * out_step_y
    const int first_y, const int out_step_y, const int first_x, const int out_step_x,
    const int y_offset, const int y_stride, const int y_step, const int taps_y,   // row i, tap t read y_offset + i * y_stride + t * y_step
    const int x_offset, const int x_stride, const int x_step, const int taps_x,
    const int tap0, const int tap_y_step, const int tap_x_step, const int taps_stored,   // where tap (t, u) is stored
    const int m_tiles, const int all_steps, const int steps_each)
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
    const int pixels = rows * columns;
    const uint total = (uint)batch * pixels;
    const uint n0 = get_group_id(0) * TILE_N;
    const int load_n = item % TILE_N;
    const int load_k = item / TILE_N;
    __local float *b_slot = b_tiles + load_k * PITCH_B + load_n;
    const int load_at = min(n0 + load_n, total - 1);   // beyond the last column: fetched again, never stored
    const int load_image = load_at / pixels;
    const int load_pixel = load_at - load_image * pixels;
    const int load_y = load_pixel / columns;
    const int y0 = load_y * y_stride + y_offset;
    const int x0 = (load_pixel - load_y * columns) * x_stride + x_offset;
    const int steps = min(steps_each, all_steps - (int)get_group_id(2) * steps_each);
    const int first_step = steps > 0 ? (int)get_group_id(2) * steps_each : 0;

    float4 next_a0;
    float next_b0, next_b1, next_b2, next_b3;
    // k -> how far from the work-item's first element it reads, by how many rows and columns, and where its weights are; beyond the
    // last k: outside of every map, and weights of -1.
    __local int4 table[TABLE];
    const int taps = taps_y * taps_x;
    const int table_end = (inputs * taps + TILE_K - 1) / TILE_K * TILE_K;
    for (int k = item; k < TABLE; k += GROUP) {
        const int c = k / taps;
        const int t = (k - c * taps) / taps_x;
        const int u = k - c * taps - t * taps_x;
        const int y = t * y_step, x = u * x_step;
        table[k] = k < inputs * taps
            ? (int4)((c * plane + y * width + x) * SIZE, y, x, (c * taps_stored + tap0 + t * tap_y_step + u * tap_x_step) * (TILE_M * SIZE))
            : (int4)(0, 1 << 30, 1 << 30, -1);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const POSITION w_tile = START(w) + STEP((group * m_tiles + m_tile) * inputs * taps_stored * TILE_M);
    const POSITION group_at = START(source) + STEP(group * inputs * plane);
    const OFFSET image_at = (OFFSET)(load_image * groups * inputs * plane + y0 * width + x0) * SIZE;
    int k0 = first_step * TILE_K;
    int a0_holds, b0_holds, b1_holds, b2_holds, b3_holds;

        const int row0 = table[k0 + (item + 0 * GROUP) / (TILE_M / 4)].w;
        next_a0 = LOAD4_AT(w, w_tile, (OFFSET)(max(row0, 0) + (item + 0 * GROUP) % (TILE_M / 4) * (4 * SIZE)));
        a0_holds = row0 >= 0;
        {
            const int4 entry = table[k0 + load_k + 0 * (GROUP / TILE_N)];
            b0_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b0 = LOAD_AT(source, group_at, b0_holds ? image_at + (OFFSET)entry.x : 0);
        }
        {
            const int4 entry = table[k0 + load_k + 1 * (GROUP / TILE_N)];
            b1_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b1 = LOAD_AT(source, group_at, b1_holds ? image_at + (OFFSET)entry.x : 0);
        }
        {
            const int4 entry = table[k0 + load_k + 2 * (GROUP / TILE_N)];
            b2_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b2 = LOAD_AT(source, group_at, b2_holds ? image_at + (OFFSET)entry.x : 0);
        }
        {
            const int4 entry = table[k0 + load_k + 3 * (GROUP / TILE_N)];
            b3_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b3 = LOAD_AT(source, group_at, b3_holds ? image_at + (OFFSET)entry.x : 0);
        }
        k0 = k0 + TILE_K < table_end ? k0 + TILE_K : 0;
        next_a0 = a0_holds ? next_a0 : (float4)(0.0f);
        *(__local float4 *)(a_tiles + 0 * (TILE_K * PITCH_A) + (item + 0 * GROUP) * 4) = next_a0;
        next_b0 = b0_holds ? next_b0 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_N * PITCH_B)] = next_b0;
        next_b1 = b1_holds ? next_b1 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_N * PITCH_B)] = next_b1;
        next_b2 = b2_holds ? next_b2 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_N * PITCH_B)] = next_b2;
        next_b3 = b3_holds ? next_b3 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_N * PITCH_B)] = next_b3;
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    int step = 1;
    do {
        const int row0 = table[k0 + (item + 0 * GROUP) / (TILE_M / 4)].w;
        next_a0 = LOAD4_AT(w, w_tile, (OFFSET)(max(row0, 0) + (item + 0 * GROUP) % (TILE_M / 4) * (4 * SIZE)));
        a0_holds = row0 >= 0;
        {
            const int4 entry = table[k0 + load_k + 0 * (GROUP / TILE_N)];
            b0_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b0 = LOAD_AT(source, group_at, b0_holds ? image_at + (OFFSET)entry.x : 0);
        }
        {
            const int4 entry = table[k0 + load_k + 1 * (GROUP / TILE_N)];
            b1_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b1 = LOAD_AT(source, group_at, b1_holds ? image_at + (OFFSET)entry.x : 0);
        }
        {
            const int4 entry = table[k0 + load_k + 2 * (GROUP / TILE_N)];
            b2_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b2 = LOAD_AT(source, group_at, b2_holds ? image_at + (OFFSET)entry.x : 0);
        }
        {
            const int4 entry = table[k0 + load_k + 3 * (GROUP / TILE_N)];
            b3_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b3 = LOAD_AT(source, group_at, b3_holds ? image_at + (OFFSET)entry.x : 0);
        }
        k0 = k0 + TILE_K < table_end ? k0 + TILE_K : 0;
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
        next_a0 = a0_holds ? next_a0 : (float4)(0.0f);
        *(__local float4 *)(a_tiles + buffer * (TILE_K * PITCH_A) + (item + 0 * GROUP) * 4) = next_a0;
        next_b0 = b0_holds ? next_b0 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_N * PITCH_B)] = next_b0;
        next_b1 = b1_holds ? next_b1 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_N * PITCH_B)] = next_b1;
        next_b2 = b2_holds ? next_b2 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_N * PITCH_B)] = next_b2;
        next_b3 = b3_holds ? next_b3 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_N * PITCH_B)] = next_b3;
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (step++ < steps);

    const int out_plane = out_height * out_width;
    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const uint n = n0 + 0 * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        if (n >= total) continue;
        const int image = n / pixels;
        const int pixel = n - image * pixels;
        const int row = pixel / columns;
        const int at = (image * groups + group) * outputs * out_plane + (first_y + row * out_step_y) * out_width
            + first_x + (pixel - row * columns) * out_step_x;
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 0;
            const float4 four = sum0_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                partial[(get_group_id(2) * batch * groups * outputs * (size_t)out_plane) + at + m * out_plane] = value;
            }
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 1;
            const float4 four = sum1_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                partial[(get_group_id(2) * batch * groups * outputs * (size_t)out_plane) + at + m * out_plane] = value;
            }
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 2;
            const float4 four = sum2_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                partial[(get_group_id(2) * batch * groups * outputs * (size_t)out_plane) + at + m * out_plane] = value;
            }
        }
        {
            const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 3;
            const float4 four = sum3_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
                partial[(get_group_id(2) * batch * groups * outputs * (size_t)out_plane) + at + m * out_plane] = value;
            }
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
#undef TABLE
#undef TILE_K
#undef TILE_M
#undef TILE_N
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_gemm
