// matmul_gemm
#define GROUP 64
#define ITEM_M 4
#define ITEM_N 4
#define LOAD4_AT(p, u, o) (*(__global const float4 *)((__global const char *)(u) + (o)))
#define LOAD_AT(p, u, o) (*(__global const float *)((__global const char *)(u) + (o)))
#define OFFSET uint
#define PITCH_A 32
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
#define matmul_gemm matmul_gemm_a54280b21055

__kernel WORK_GROUP SUB_GROUP
void matmul_gemm(
    __global const real *restrict a,        // batch, k, m
    __global const real *restrict b,        // batch, n, k
    __global float *restrict partial,       // parts, batch, m, n
    const int batch, const int m, const int n, const int all_k,
    const int m_tiles, const int k_each)    // steps of k of a part, a multiple of TILE_K
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
    const int n0 = (int)get_group_id(0) * TILE_N;
    const int k_begin = (int)get_group_id(2) * k_each;
    const int k_end = min(k_begin + k_each, all_k);
    const int steps = (k_end - k_begin + TILE_K - 1) / TILE_K;
    int k0 = k_begin;

    // a: where the work-item reads from the first step of k on, and stores in local memory.
    const POSITION a_first = START(a) + STEP(group * all_k * m);
    const int a_k = item / TILE_M;
    const int a_row = item % TILE_M;
    const OFFSET a_from = (OFFSET)(a_k * m + min(m0 + a_row, m - 1)) * SIZE;
    __local float *a_slot = a_tiles + a_k * PITCH_A + a_row;
    // b: where the work-item reads from the first step of k on, and stores in local memory.
    const POSITION b_first = START(b) + STEP(group * all_k * n);
    const int b_k = item % TILE_K;
    const int b_row = item / TILE_K;
    const OFFSET b0_from = (OFFSET)(min(n0 + b_row + 0 * (GROUP / TILE_K), n - 1) * all_k + b_k) * SIZE;
    const OFFSET b1_from = (OFFSET)(min(n0 + b_row + 1 * (GROUP / TILE_K), n - 1) * all_k + b_k) * SIZE;
    const OFFSET b2_from = (OFFSET)(min(n0 + b_row + 2 * (GROUP / TILE_K), n - 1) * all_k + b_k) * SIZE;
    const OFFSET b3_from = (OFFSET)(min(n0 + b_row + 3 * (GROUP / TILE_K), n - 1) * all_k + b_k) * SIZE;
    POSITION b_at = b_first + STEP(k_begin);
    __local float *b_slot = b_tiles + b_k * PITCH_B + b_row;
    float next_a0, next_a1, next_a2, next_a3, next_b0, next_b1, next_b2, next_b3;
    int a0_holds, a1_holds, a2_holds, a3_holds, b0_holds, b1_holds, b2_holds, b3_holds;

        a0_holds = k0 + a_k + 0 * (GROUP / TILE_M) < k_end;
        next_a0 = LOAD_AT(a, a_first, a0_holds ? a_from + (OFFSET)((k0 + 0 * (GROUP / TILE_M)) * m) * SIZE : 0);
        a1_holds = k0 + a_k + 1 * (GROUP / TILE_M) < k_end;
        next_a1 = LOAD_AT(a, a_first, a1_holds ? a_from + (OFFSET)((k0 + 1 * (GROUP / TILE_M)) * m) * SIZE : 0);
        a2_holds = k0 + a_k + 2 * (GROUP / TILE_M) < k_end;
        next_a2 = LOAD_AT(a, a_first, a2_holds ? a_from + (OFFSET)((k0 + 2 * (GROUP / TILE_M)) * m) * SIZE : 0);
        a3_holds = k0 + a_k + 3 * (GROUP / TILE_M) < k_end;
        next_a3 = LOAD_AT(a, a_first, a3_holds ? a_from + (OFFSET)((k0 + 3 * (GROUP / TILE_M)) * m) * SIZE : 0);
        b0_holds = k0 + b_k < k_end;
        next_b0 = LOAD_AT(b, b_at, b0_holds ? b0_from : 0);
        b1_holds = k0 + b_k < k_end;
        next_b1 = LOAD_AT(b, b_at, b1_holds ? b1_from : 0);
        b2_holds = k0 + b_k < k_end;
        next_b2 = LOAD_AT(b, b_at, b2_holds ? b2_from : 0);
        b3_holds = k0 + b_k < k_end;
        next_b3 = LOAD_AT(b, b_at, b3_holds ? b3_from : 0);
        k0 += TILE_K;
        b_at += STEP(TILE_K);
        if (k0 >= k_end) {
            k0 = k_begin;
            b_at = b_first + STEP(k_begin);
        }
        a_slot[0 * (TILE_K * PITCH_A) + 0 * (GROUP / TILE_M * PITCH_A)] = a0_holds ? next_a0 : 0.0f;
        a_slot[0 * (TILE_K * PITCH_A) + 1 * (GROUP / TILE_M * PITCH_A)] = a1_holds ? next_a1 : 0.0f;
        a_slot[0 * (TILE_K * PITCH_A) + 2 * (GROUP / TILE_M * PITCH_A)] = a2_holds ? next_a2 : 0.0f;
        a_slot[0 * (TILE_K * PITCH_A) + 3 * (GROUP / TILE_M * PITCH_A)] = a3_holds ? next_a3 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_K)] = b0_holds ? next_b0 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_K)] = b1_holds ? next_b1 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_K)] = b2_holds ? next_b2 : 0.0f;
        b_slot[0 * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_K)] = b3_holds ? next_b3 : 0.0f;
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    int step = 1;
    do {
        a0_holds = k0 + a_k + 0 * (GROUP / TILE_M) < k_end;
        next_a0 = LOAD_AT(a, a_first, a0_holds ? a_from + (OFFSET)((k0 + 0 * (GROUP / TILE_M)) * m) * SIZE : 0);
        a1_holds = k0 + a_k + 1 * (GROUP / TILE_M) < k_end;
        next_a1 = LOAD_AT(a, a_first, a1_holds ? a_from + (OFFSET)((k0 + 1 * (GROUP / TILE_M)) * m) * SIZE : 0);
        a2_holds = k0 + a_k + 2 * (GROUP / TILE_M) < k_end;
        next_a2 = LOAD_AT(a, a_first, a2_holds ? a_from + (OFFSET)((k0 + 2 * (GROUP / TILE_M)) * m) * SIZE : 0);
        a3_holds = k0 + a_k + 3 * (GROUP / TILE_M) < k_end;
        next_a3 = LOAD_AT(a, a_first, a3_holds ? a_from + (OFFSET)((k0 + 3 * (GROUP / TILE_M)) * m) * SIZE : 0);
        b0_holds = k0 + b_k < k_end;
        next_b0 = LOAD_AT(b, b_at, b0_holds ? b0_from : 0);
        b1_holds = k0 + b_k < k_end;
        next_b1 = LOAD_AT(b, b_at, b1_holds ? b1_from : 0);
        b2_holds = k0 + b_k < k_end;
        next_b2 = LOAD_AT(b, b_at, b2_holds ? b2_from : 0);
        b3_holds = k0 + b_k < k_end;
        next_b3 = LOAD_AT(b, b_at, b3_holds ? b3_from : 0);
        k0 += TILE_K;
        b_at += STEP(TILE_K);
        if (k0 >= k_end) {
            k0 = k_begin;
            b_at = b_first + STEP(k_begin);
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
        a_slot[buffer * (TILE_K * PITCH_A) + 0 * (GROUP / TILE_M * PITCH_A)] = a0_holds ? next_a0 : 0.0f;
        a_slot[buffer * (TILE_K * PITCH_A) + 1 * (GROUP / TILE_M * PITCH_A)] = a1_holds ? next_a1 : 0.0f;
        a_slot[buffer * (TILE_K * PITCH_A) + 2 * (GROUP / TILE_M * PITCH_A)] = a2_holds ? next_a2 : 0.0f;
        a_slot[buffer * (TILE_K * PITCH_A) + 3 * (GROUP / TILE_M * PITCH_A)] = a3_holds ? next_a3 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 0 * (GROUP / TILE_K)] = b0_holds ? next_b0 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 1 * (GROUP / TILE_K)] = b1_holds ? next_b1 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 2 * (GROUP / TILE_K)] = b2_holds ? next_b2 : 0.0f;
        b_slot[buffer * (TILE_K * PITCH_B) + 3 * (GROUP / TILE_K)] = b3_holds ? next_b3 : 0.0f;
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (step++ < steps);

    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const int column = n0 + 0 * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        if (column >= n) continue;
        {
            const int row = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 0;
            const float4 four = sum0_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            if (row < m) {
                partial[((get_group_id(2) * batch + group) * (size_t)m + row) * n + column] = value;
            }
        }
        {
            const int row = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 1;
            const float4 four = sum1_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            if (row < m) {
                partial[((get_group_id(2) * batch + group) * (size_t)m + row) * n + column] = value;
            }
        }
        {
            const int row = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 2;
            const float4 four = sum2_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            if (row < m) {
                partial[((get_group_id(2) * batch + group) * (size_t)m + row) * n + column] = value;
            }
        }
        {
            const int row = m0 + 0 * (TILE_M * 4 / ITEM_M) + item_row * 4 + 3;
            const float4 four = sum3_0;
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            if (row < m) {
                partial[((get_group_id(2) * batch + group) * (size_t)m + row) * n + column] = value;
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
#undef TILE_K
#undef TILE_M
#undef TILE_N
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef matmul_gemm
