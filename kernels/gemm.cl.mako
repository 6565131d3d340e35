## gemm.cl.mako -- what the kernels that multiply matrices in tiles of local memory share: sum[m, n] over k of a[k, m] * b[k, n].
##
## A work-group of GROUP work-items sums TILE_M x TILE_N products, TILE_K steps of k at a time: they are fetched into registers while the
## steps before are multiplied, and stored into the other one of two buffers in local memory. A work-item keeps ITEM_M x ITEM_N sums.
## A kernel says how it fetches one step, and how it stores (commits) what it fetched into buffer 0 or 1.
##
## The loop always fetches, wraps around at the end and never uses what it fetched last: a branch there costs registers and spills.
## Addresses are a uniform POSITION, which the loop moves, and an OFFSET in bytes of each work-item's own: LOAD_AT(p, position, offset). A
## position is a pointer or bytes from START(p), whichever the device's compiler makes less of; STEP(n) are n elements of it.
##
## Header constants: TILE_*, ITEM_*, GROUP, PITCH_A (TILE_M and what keeps rows apart in the banks), PITCH_B, LOAD_AT, LOAD4_AT, POSITION,
## START, STEP, OFFSET, SIZE (bytes of real), SUB_GROUP. The sums of a work-item are fours of neighbours, spread evenly over the tile.
## Local memory, who the work-item is, and its sums; `maps`: operands are maps of height x width. The kernel has `m_tiles`.
<%def name="start(item_m, item_n, maps=True)">\
    __local float a_tiles[2 * TILE_K * PITCH_A] __attribute__((aligned(16)));
    __local float b_tiles[2 * TILE_K * PITCH_B] __attribute__((aligned(16)));
    const int item = get_local_id(0);
    const int item_column = item % (TILE_N / ITEM_N);
    const int item_row = item / (TILE_N / ITEM_N);
    const int group = (int)get_group_id(1) / m_tiles;
    const int m_tile = (int)get_group_id(1) - group * m_tiles;
    const int m0 = m_tile * TILE_M;
    % if maps:
    const int plane = height * width;
    % endif
    % for i in range(item_m):
    float4 ${", ".join(f"sum{i}_{j} = (float4)(0.0f)" for j in range(item_n // 4))};
    % endfor
</%def>\
## One step of every sum, from buffer `buffer`.
<%def name="multiply(item_m, item_n)">\
            __local const float *a_now = a_tiles + buffer * (TILE_K * PITCH_A) + item_row * 4;
            __local const float *b_now = b_tiles + buffer * (TILE_K * PITCH_B) + item_column * 4;
            #pragma unroll
            for (int k = 0; k < TILE_K; ++k) {
        % for i in range(item_m // 4):
                const float4 a${i} = *(__local const float4 *)(a_now + k * PITCH_A + ${i} * (TILE_M * 4 / ITEM_M));
        % endfor
        % for j in range(item_n // 4):
                const float4 b${j} = *(__local const float4 *)(b_now + k * PITCH_B + ${j} * (TILE_N * 4 / ITEM_N));
        % endfor
        % for i in range(item_m):
            % for j in range(item_n // 4):
                sum${i}_${j} += a${i // 4}.s${i % 4} * b${j};
            % endfor
        % endfor
            }
</%def>\
## All steps: fetch() is text that fetches the next one, commit(buffer) text that stores it. The kernel has `steps`.
<%def name="pipeline(item_m, item_n, fetch, commit)">\
${fetch()}\
${commit("0")}\
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    int step = 1;
    do {
${fetch()}\
        {
${multiply(item_m, item_n)}\
        }
        buffer ^= 1;
${commit("buffer")}\
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (step++ < steps);
</%def>\
