## conv_gemm_products.cl.mako -- the products of minimal filtering, a product of matrices for each of them (see gemm.cl.mako).
##
## m: output channel. n: tile. k: channel. a: transformed weights. b: transformed input, whose sizes are multiples of the tile's.
## Index spaces:
##     get_group_id(0)  tile of n
##     get_group_id(1)  group * tiles of m + tile of m
##     get_group_id(2)  which product
##
## Header constants: those of gemm.cl.mako.   Render arguments: item_m, item_n, loads_a, loads_b (of a work-item a step).
<%page args="item_m, item_n, loads_a, loads_b"/>\
<%namespace name="gemm" file="gemm.cl.mako"/>\
<%def name="fetch()">\
        % for j in range(loads_a):
        next_a${j} = LOAD4_AT(w, w_at, (OFFSET)((item + ${j} * GROUP) * (4 * SIZE)));
        % endfor
        % for j in range(loads_b):
        next_b${j} = LOAD4_AT(data, data_at + ${f"STEP({j} * (GROUP * 4 / TILE_N) * columns)" if j else "0"}, load_at);
        % endfor
        c0 += TILE_K;
        w_at = c0 < inputs ? w_at + STEP(TILE_K * TILE_M) : w_first;
        data_at = c0 < inputs ? data_at + STEP(TILE_K * columns) : data_first;
</%def>\
<%def name="commit(buffer)">\
        % for j in range(loads_a):
        *(__local float4 *)(a_tiles + ${buffer} * (TILE_K * PITCH_A) + (item + ${j} * GROUP) * 4) = next_a${j};
        % endfor
        % for j in range(loads_b):
        *(__local float4 *)(b_tiles + ${buffer} * (TILE_K * PITCH_B) + (item + ${j} * GROUP) * 4) = next_b${j};
        % endfor
</%def>\
__kernel WORK_GROUP SUB_GROUP
void conv_gemm_products(
    __global const float *restrict w,      // groups, tiles of m, products, inputs, TILE_M
    __global const float *restrict data,   // products, groups, inputs, columns
    __global float *restrict sums,         // products, groups, outputs, columns
    const int groups, const int inputs, const int outputs,   // channels of a group
    const int columns, const int products, const int m_tiles)
{
${gemm.start(item_m, item_n, maps=False)}\
    const int product = get_group_id(2);
    const int steps = inputs / TILE_K;
    const int n0 = get_group_id(0) * TILE_N;
    const POSITION w_first = START(w) + STEP(((group * m_tiles + m_tile) * products + product) * inputs * TILE_M);
    const POSITION data_first = START(data) + STEP((product * groups + group) * inputs * columns + n0);
    const OFFSET load_at = (OFFSET)(item / (TILE_N / 4) * columns + item % (TILE_N / 4) * 4) * SIZE;
    POSITION w_at = w_first;
    POSITION data_at = data_first;
    int c0 = 0;
    float4 ${", ".join([f"next_a{j}" for j in range(loads_a)] + [f"next_b{j}" for j in range(loads_b)])};

${gemm.pipeline(item_m, item_n, fetch, commit)}\

    __global float *out = sums + (product * groups + group) * outputs * (size_t)columns + n0 + item_column * 4;
    % for i in range(item_m):
    {
        const int m = m0 + ${i // 4} * (TILE_M * 4 / ITEM_M) + item_row * 4 + ${i % 4};
        if (m < outputs) {
        % for j in range(item_n // 4):
            *(__global float4 *)(out + m * columns + ${j} * (TILE_N * 4 / ITEM_N)) = sum${i}_${j};
        % endfor
        }
    }
    % endfor
}
