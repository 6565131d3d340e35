## matmul_gemm.cl.mako -- y[i] = op(a[i]) op(b[i]) + bias + residual, activated, in tiles of local memory (see gemm.cl.mako), for GPUs.
##
## i counts the batch, op transposes where asked. m: row of y. n: column of y. Index spaces:
##     get_group_id(0)  tile of n
##     get_group_id(1)  entry of the batch * tiles of m + tile of m
##     get_group_id(2)  part of the sum over k, where it is split
##
## An operand is fetched along the axis that is contiguous in memory. `along_a`, `along_b`: that is k, so that a work-item fetches one step of
## several rows (columns), and stores them across local memory; else one row (column) of several steps.
## `ragged`: k does not fill the last step of every part. `split`: sums go to `partial`.
## Rows and columns behind the last are the last ones again, which are fetched and never stored.
##
## Header constants: those of gemm.cl.mako, ACTIVATE where not `split`.
## Render arguments: along_a, along_b, ragged, split, item_m, item_n, loads_a, loads_b (of a work-item a step).
<%page args="along_a, along_b, ragged, split, item_m, item_n, loads_a, loads_b"/>\
<%namespace name="gemm" file="gemm.cl.mako"/>\
<%
    # name, whether it is contiguous along k, loads, tile, rows (columns) of the operand
    operands = (("a", along_a, loads_a, "TILE_M", "m"), ("b", along_b, loads_b, "TILE_N", "n"))
%>\
<%def name="fetch()">\
        % for name, along, loads, tile, size in operands:
        % for j in range(loads):
        % if ragged:
        ${name}${j}_holds = k0 + ${f"{name}_k" if along else f"{name}_k + {j} * (GROUP / {tile})"} < k_end;
        % if along:
        next_${name}${j} = LOAD_AT(${name}, ${name}_at, ${name}${j}_holds ? ${name}${j}_from : 0);
        % else:
        next_${name}${j} = LOAD_AT(${name}, ${name}_first, ${name}${j}_holds ? ${name}_from + (OFFSET)((k0 + ${j} * (GROUP / ${tile})) * ${size}) * SIZE : 0);
        % endif
        % elif along:
        next_${name}${j} = LOAD_AT(${name}, ${name}_at, ${name}${j}_from);
        % else:
        next_${name}${j} = LOAD_AT(${name}, ${name}_at + ${f"STEP({j} * (GROUP / {tile}) * {size})" if j else "0"}, ${name}_from);
        % endif
        % endfor
        % endfor
        k0 += TILE_K;
        % for name, along, loads, tile, size in operands:
        % if along or not ragged:
        ${name}_at += STEP(${"TILE_K" if along else f"TILE_K * {size}"});
        % endif
        % endfor
        if (k0 >= k_end) {
            k0 = k_begin;
        % for name, along, loads, tile, size in operands:
        % if along or not ragged:
            ${name}_at = ${name}_first + STEP(${"k_begin" if along else f"k_begin * {size}"});
        % endif
        % endfor
        }
</%def>\
<%def name="commit(buffer)">\
        % for name, along, loads, tile, size in operands:
        % for j in range(loads):
        ${name}_slot[${buffer} * (TILE_K * PITCH_${name.upper()}) + ${j} * ${f"(GROUP / TILE_K)" if along else f"(GROUP / {tile} * PITCH_{name.upper()})"}] = \
${f"{name}{j}_holds ? next_{name}{j} : 0.0f" if ragged else f"next_{name}{j}"};
        % endfor
        % endfor
</%def>\
__kernel WORK_GROUP SUB_GROUP
void matmul_gemm(
    __global const real *restrict a,        // batch, ${"m, k" if along_a else "k, m"}
    __global const real *restrict b,        // batch, ${"n, k" if along_b else "k, n"}
% if split:
    __global float *restrict partial,       // parts, batch, m, n
% else:
    __global const real *restrict bias,     // n, never read without has_bias
    __global const real *restrict residual, // as y, never read without has_residual
    __global real *restrict y,              // batch, m, n
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
% endif
    const int batch, const int m, const int n, const int all_k,
    const int m_tiles, const int k_each)    // steps of k of a part, a multiple of TILE_K
{
${gemm.start(item_m, item_n, maps=False)}\
    const int n0 = (int)get_group_id(0) * TILE_N;
    const int k_begin = (int)get_group_id(2) * k_each;
    const int k_end = min(k_begin + k_each, all_k);
    const int steps = (k_end - k_begin + TILE_K - 1) / TILE_K;
    int k0 = k_begin;

% for name, along, loads, tile, size in operands:
    // ${name}: where the work-item reads from the first step of k on, and stores in local memory.
    const POSITION ${name}_first = START(${name}) + STEP(group * all_k * ${size});
% if along:
    const int ${name}_k = item % TILE_K;
    const int ${name}_row = item / TILE_K;
% for j in range(loads):
    const OFFSET ${name}${j}_from = (OFFSET)(min(${size}0 + ${name}_row + ${j} * (GROUP / TILE_K), ${size} - 1) * all_k + ${name}_k) * SIZE;
% endfor
% else:
    const int ${name}_k = item / ${tile};
    const int ${name}_row = item % ${tile};
    const OFFSET ${name}_from = (OFFSET)(${name}_k * ${size} + min(${size}0 + ${name}_row, ${size} - 1)) * SIZE;
% endif
% if along or not ragged:
    POSITION ${name}_at = ${name}_first + STEP(${"k_begin" if along else f"k_begin * {size}"});
% endif
    __local float *${name}_slot = ${name}_tiles + ${name}_k * PITCH_${name.upper()} + ${name}_row;
% endfor
    float ${", ".join([f"next_a{j}" for j in range(loads_a)] + [f"next_b{j}" for j in range(loads_b)])};
% if ragged:
    int ${", ".join([f"a{j}_holds" for j in range(loads_a)] + [f"b{j}_holds" for j in range(loads_b)])};
% endif

${gemm.pipeline(item_m, item_n, fetch, commit)}\

% for j in range(item_n // 4):
    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const int column = n0 + ${j} * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        if (column >= n) continue;
    % for i in range(item_m):
        {
            const int row = m0 + ${i // 4} * (TILE_M * 4 / ITEM_M) + item_row * 4 + ${i % 4};
            const float4 four = sum${i}_${j};
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            if (row < m) {
            % if split:
                partial[((get_group_id(2) * batch + group) * (size_t)m + row) * n + column] = value;
            % else:
                const int at = (group * m + row) * n + column;
                if (has_bias) value += LOAD(bias, column);
                if (has_residual) value += LOAD(residual, at);
                STORE(y, at, ACTIVATE(value));
            % endif
            }
        }
    % endfor
    }
% endfor
}
