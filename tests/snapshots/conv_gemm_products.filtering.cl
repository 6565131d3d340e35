// conv_gemm_products
#define GROUP 64
#define ITEM_M 4
#define ITEM_N 4
#define LOAD4_AT(p, u, o) (*(__global const float4 *)((__global const char *)(u) + (o)))
#define LOAD_AT(p, u, o) (*(__global const float *)((__global const char *)(u) + (o)))
#define OFFSET uint
#define PITCH_A 32
#define PITCH_B 32
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
#define conv_gemm_products conv_gemm_products_a9872d84fb33

__kernel WORK_GROUP SUB_GROUP
void conv_gemm_products(
    __global const float *restrict w,      // groups, tiles of m, products, inputs, TILE_M
    __global const float *restrict data,   // products, groups, inputs, columns
    __global float *restrict sums,         // products, groups, outputs, columns
    const int groups, const int inputs, const int outputs,   // channels of a group
    const int columns, const int products, const int m_tiles)
{
    __local float a_tiles[2 * TILE_K * PITCH_A] __attribute__((aligned(16)));
    __local float b_tiles[2 * TILE_K * PITCH_B] __attribute__((aligned(16)));
    const int item = get_local_id(0);
    const int item_column = item % (TILE_N / ITEM_N);
    const int item_row = item / (TILE_N / ITEM_N);
    const int group = (int)get_group_id(1) / m_tiles;
    const int m_tile = (int)get_group_id(1) - group * m_tiles;
    const int m0 = m_tile * TILE_M;
    float4 sum0_0 = (float4)(0.0f);
    float4 sum1_0 = (float4)(0.0f);
    float4 sum2_0 = (float4)(0.0f);
    float4 sum3_0 = (float4)(0.0f);
    const int product = get_group_id(2);
    const int steps = inputs / TILE_K;
    const int n0 = get_group_id(0) * TILE_N;
    const POSITION w_first = START(w) + STEP(((group * m_tiles + m_tile) * products + product) * inputs * TILE_M);
    const POSITION data_first = START(data) + STEP((product * groups + group) * inputs * columns + n0);
    const OFFSET load_at = (OFFSET)(item / (TILE_N / 4) * columns + item % (TILE_N / 4) * 4) * SIZE;
    POSITION w_at = w_first;
    POSITION data_at = data_first;
    int c0 = 0;
    float4 next_a0, next_b0;

        next_a0 = LOAD4_AT(w, w_at, (OFFSET)((item + 0 * GROUP) * (4 * SIZE)));
        next_b0 = LOAD4_AT(data, data_at + 0, load_at);
        c0 += TILE_K;
        w_at = c0 < inputs ? w_at + STEP(TILE_K * TILE_M) : w_first;
        data_at = c0 < inputs ? data_at + STEP(TILE_K * columns) : data_first;
        *(__local float4 *)(a_tiles + 0 * (TILE_K * PITCH_A) + (item + 0 * GROUP) * 4) = next_a0;
        *(__local float4 *)(b_tiles + 0 * (TILE_K * PITCH_B) + (item + 0 * GROUP) * 4) = next_b0;
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    int step = 1;
    do {
        next_a0 = LOAD4_AT(w, w_at, (OFFSET)((item + 0 * GROUP) * (4 * SIZE)));
        next_b0 = LOAD4_AT(data, data_at + 0, load_at);
        c0 += TILE_K;
        w_at = c0 < inputs ? w_at + STEP(TILE_K * TILE_M) : w_first;
        data_at = c0 < inputs ? data_at + STEP(TILE_K * columns) : data_first;
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
        *(__local float4 *)(a_tiles + buffer * (TILE_K * PITCH_A) + (item + 0 * GROUP) * 4) = next_a0;
        *(__local float4 *)(b_tiles + buffer * (TILE_K * PITCH_B) + (item + 0 * GROUP) * 4) = next_b0;
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (step++ < steps);

    __global float *out = sums + (product * groups + group) * outputs * (size_t)columns + n0 + item_column * 4;
    {
        const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 0;
        if (m < outputs) {
            *(__global float4 *)(out + m * columns + 0 * (TILE_N * 4 / ITEM_N)) = sum0_0;
        }
    }
    {
        const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 1;
        if (m < outputs) {
            *(__global float4 *)(out + m * columns + 0 * (TILE_N * 4 / ITEM_N)) = sum1_0;
        }
    }
    {
        const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 2;
        if (m < outputs) {
            *(__global float4 *)(out + m * columns + 0 * (TILE_N * 4 / ITEM_N)) = sum2_0;
        }
    }
    {
        const int m = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 3;
        if (m < outputs) {
            *(__global float4 *)(out + m * columns + 0 * (TILE_N * 4 / ITEM_N)) = sum3_0;
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
#undef conv_gemm_products
