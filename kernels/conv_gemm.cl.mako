## conv_gemm.cl.mako -- convolution as a product of matrices that are never stored (see gemm.cl.mako): forward and backward-data.
##
##                    m                n                          k                              a                    b
## forward            output channel   image, row, column         tap, channel                   packed weights       input
## backward_data      input channel    the same of one phase      tap of the phase, filter       packed, turned       output gradient
##
## Index spaces:
##     get_group_id(0)  tile of n
##     get_group_id(1)  group * tiles of m + tile of m
##     get_group_id(2)  part of the sum over k, where it is split
##
## `flat`: k runs through channels and taps one by one, for few channels; else a step has one tap, which comes outermost, and one test of
## bounds serves all its channels. `taps`: such sums have more than one tap.
## `bounds`: something is read outside of the map. `ragged`: the last channels do not fill a tile. `split`: sums go to `partial`.
##
## Header constants: those of gemm.cl.mako, TABLE (rows of the table for `flat`), ACTIVATE where not `split`.
## Render arguments: flat, taps, bounds, ragged, split, item_m, item_n, loads_a, loads_b (of a work-item a step).
<%page args="flat, taps, bounds, ragged, split, item_m, item_n, loads_a, loads_b"/>\
<%namespace name="gemm" file="gemm.cl.mako"/>\
<%namespace name="walk" file="conv_gemm_walk.cl.mako"/>\
<%def name="take_tap(indent)">\
${indent}source_at = first_at + (OFFSET)(down * width + right) * SIZE;
% if bounds:
${indent}inside = ((uint)(y0 + down) < (uint)height) & ((uint)(x0 + right) < (uint)width);
% endif
${indent}w_at = w_tile + STEP(w_tap * (TILE_K * TILE_M));
</%def>\
<%def name="fetch()">\
        % if flat:
        % for j in range(loads_a):
        const int row${j} = table[k0 + (item + ${j} * GROUP) / (TILE_M / 4)].w;
        next_a${j} = LOAD4_AT(w, w_tile, (OFFSET)(max(row${j}, 0) + (item + ${j} * GROUP) % (TILE_M / 4) * (4 * SIZE)));
        a${j}_holds = row${j} >= 0;
        % endfor
        % for j in range(loads_b):
        {
            const int4 entry = table[k0 + load_k + ${j} * (GROUP / TILE_N)];
            b${j}_holds = ((uint)(y0 + entry.y) < (uint)height) & ((uint)(x0 + entry.z) < (uint)width);
            next_b${j} = LOAD_AT(source, group_at, b${j}_holds ? image_at + (OFFSET)entry.x : 0);
        }
        % endfor
        k0 = k0 + TILE_K < table_end ? k0 + TILE_K : 0;
        % else:
        % for j in range(loads_a):
        next_a${j} = LOAD4_AT(w, w_at, (OFFSET)((item + ${j} * GROUP) * (4 * SIZE)));
        % endfor
        % for j in range(loads_b):
        % if ragged:
        b${j}_holds = ${"inside & " if bounds else ""}(c0 + load_k + ${j} * (GROUP / TILE_N) < inputs);
        next_b${j} = LOAD_AT(source, START(source), b${j}_holds ? source_at + (OFFSET)(c0 * plane + ${j} * line) * SIZE : 0);
        % else:
        next_b${j} = LOAD_AT(source, channel + ${f"STEP({j} * line)" if j else "0"}, ${"inside ? source_at : 0" if bounds else "source_at"});
        % endif
        % endfor
        % if bounds and not ragged:
        holds = inside;
        % endif
${walk.next_step(taps, take_tap)}\
        % endif
</%def>\
<%def name="commit(buffer)">\
        % for j in range(loads_a):
        % if flat:
        next_a${j} = a${j}_holds ? next_a${j} : (float4)(0.0f);
        % endif
        *(__local float4 *)(a_tiles + ${buffer} * (TILE_K * PITCH_A) + (item + ${j} * GROUP) * 4) = next_a${j};
        % endfor
        % for j in range(loads_b):
        % if flat or ragged:
        next_b${j} = b${j}_holds ? next_b${j} : 0.0f;
        % elif bounds:
        next_b${j} = holds ? next_b${j} : 0.0f;
        % endif
        b_slot[${buffer} * (TILE_K * PITCH_B) + ${j} * (GROUP / TILE_N * PITCH_B)] = next_b${j};
        % endfor
</%def>\
__kernel WORK_GROUP SUB_GROUP
void conv_gemm(
${walk.arguments(split, "inputs, taps_stored, TILE_M" if flat else "blocks of TILE_K inputs, taps_stored, TILE_K, TILE_M")}\
{
${gemm.start(item_m, item_n)}\
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
${walk.share_of_steps()}\

    float4 ${", ".join(f"next_a{j}" for j in range(loads_a))};
    float ${", ".join(f"next_b{j}" for j in range(loads_b))};
    % if flat:
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
    int ${", ".join([f"a{j}_holds" for j in range(loads_a)] + [f"b{j}_holds" for j in range(loads_b)])};
    % else:
    const int blocks = (inputs + TILE_K - 1) / TILE_K;
    const int line = (GROUP / TILE_N) * plane;
    const int tap = first_step / blocks;
    int c0 = (first_step - tap * blocks) * TILE_K;
    const POSITION w_tile = START(w) + STEP((group * m_tiles + m_tile) * blocks * taps_stored * (TILE_K * TILE_M));
    const OFFSET first_at = (OFFSET)(((load_image * groups + group) * inputs + load_k) * plane + y0 * width + x0) * SIZE;
    POSITION channel = START(source) + STEP(c0 * plane);
    POSITION w_at;
    OFFSET source_at;
    % if bounds:
    int inside;
    % endif
${walk.first_tap(take_tap)}\
    % if ragged:
    int ${", ".join(f"b{j}_holds" for j in range(loads_b))};
    % elif bounds:
    int holds;
    % endif
    % endif

${gemm.pipeline(item_m, item_n, fetch, commit)}\

    const int out_plane = out_height * out_width;
    % for j in range(item_n // 4):
    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const uint n = n0 + ${j} * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        if (n >= total) continue;
${walk.position()}\
        % for i in range(item_m):
        {
            const int m = m0 + ${i // 4} * (TILE_M * 4 / ITEM_M) + item_row * 4 + ${i % 4};
            const float4 four = sum${i}_${j};
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
${walk.store(split)}\
        }
        % endfor
    }
    % endfor
}
