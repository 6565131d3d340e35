## conv_gemm_subgroups.cl.mako -- conv_gemm's sums (see there for m, n and k) by sub-groups of LANES work-items, without local memory.
##
## A sub-group sums ITEM_M rows by LANES * ITEM_N columns on its own, without a barrier; a lane has ITEM_N columns, LANES apart. In a step of
## k the lanes hold the weights of one row each (one register of the sub-group for LANES rows), which are broadcast to all of them, one after
## the other, and each lane the elements that its columns read. Sub-groups of a work-group meet in the first cache. Index spaces:
##     get_group_id(0)  tile of n
##     get_group_id(1)  group * tiles of m + tile of m
##     get_group_id(2)  part of the sum over k, where it is split
##
## All lanes reach every block read and broadcast: what differs between them are addresses and masks, never the way. Rows that only fill up
## the tile have weights of zero; columns behind the last are the last one again, which is never stored. What lies outside of the map or
## behind the last channel is masked to 0.0f, bit by bit: both masks are one instruction where two conditions and a choice are three.
##
## `taps`: sums have more than one tap. `bounds`: something is read outside of the map. `ragged`: the last channels do not fill a step of
## TILE_K. `split`: sums go to `partial`. `block_reads`: BLOCK_AT reads the weights of all lanes at once, else each lane reads its own.
##
## Header constants: those of gemm.cl.mako but GROUP and PITCH_*, LANES, BLOCK_AT with `block_reads`, ACTIVATE where not `split`.
## Render arguments: taps, bounds, ragged, split, block_reads, lanes, item_m, item_n.
<%page args="taps, bounds, ragged, split, block_reads, lanes, item_m, item_n"/>\
<%namespace name="walk" file="conv_gemm_walk.cl.mako"/>\
<%
    registers = item_m // lanes   # that hold the weights of a step of k
    weights = [f"LOAD_AT(w, w_at + STEP(k * TILE_M), (OFFSET)({i} * LANES + lane) * SIZE)" for i in range(registers)]
%>\
<%def name="take_tap(indent)">\
% for j in range(item_n):
% if bounds:
${indent}inside${j} = ((uint)(y${j} + down) < (uint)height) & ((uint)(x${j} + right) < (uint)width) ? -1 : 0;
${indent}source_at${j} = inside${j} ? first_at${j} + (OFFSET)(down * width + right) * SIZE : 0;
% else:
${indent}source_at${j} = first_at${j} + (OFFSET)(down * width + right) * SIZE;
% endif
% endfor
${indent}w_at = w_tile + STEP(w_tap * (TILE_K * TILE_M));
</%def>\
__kernel WORK_GROUP SUB_GROUP
void conv_gemm_subgroups(
${walk.arguments(split, "blocks of TILE_K inputs, taps_stored, TILE_K, TILE_M")}\
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
${walk.share_of_steps()}\
    % for i in range(item_m):
    float ${", ".join(f"sum{i}_{j} = 0.0f" for j in range(item_n))};
    % endfor

    const int blocks = (inputs + TILE_K - 1) / TILE_K;
    const int tap = first_step / blocks;
    int c0 = (first_step - tap * blocks) * TILE_K;
    const POSITION w_tile = START(w) + STEP((group * m_tiles + m_tile) * blocks * taps_stored * (TILE_K * TILE_M) + sub_row * ITEM_M);
    POSITION channel = START(source) + STEP(c0 * plane);
    POSITION w_at;
    % for j in range(item_n):
    // Column ${j}: where it reads from the first tap on, and from the present one.
    const int load_n${j} = min(n0 + ${j} * LANES, total - 1);
    const int image${j} = load_n${j} / pixels;
    const int pixel${j} = load_n${j} - image${j} * pixels;
    const int y${j} = pixel${j} / columns * y_stride + y_offset;
    const int x${j} = pixel${j} % columns * x_stride + x_offset;
    const OFFSET first_at${j} = (OFFSET)((image${j} * groups + group) * inputs * plane + y${j} * width + x${j}) * SIZE;
    OFFSET source_at${j};
    % if bounds:
    int inside${j};
    % endif
    % endfor
${walk.first_tap(take_tap)}\

    int step = 1;
    do {
        #pragma unroll
        for (int k = 0; k < TILE_K; ++k) {
            % if ragged:
            const int live = c0 + k < inputs ? -1 : 0;
            % endif
            % if block_reads:
            const float${registers} a = BLOCK_AT(w, w_at + STEP(k * TILE_M));
            % else:
            const float${registers} a = (float${registers})(${", ".join(weights)});
            % endif
            % for j in range(item_n):
            % if ragged:
            float b${j} = LOAD_AT(source, channel + STEP(live ? k * plane : 0), source_at${j});
            % else:
            float b${j} = LOAD_AT(source, channel + STEP(k * plane), source_at${j});
            % endif
            % if ragged or bounds:
            b${j} = as_float(as_int(b${j}) & ${" & ".join(["live"] * ragged + [f"inside{j}"] * bounds)});
            % endif
            % endfor
            % for i in range(item_m):
            {
                const float row = sub_group_broadcast(a.s${f"{i // lanes:x}"}, ${i % lanes});
                % for j in range(item_n):
                sum${i}_${j} += row * b${j};
                % endfor
            }
            % endfor
        }
${walk.next_step(taps, take_tap)}\
    } while (step++ < steps);

    const int out_plane = out_height * out_width;
    % for j in range(item_n):
    if (n0 + ${j} * LANES < total) {
        const uint n = n0 + ${j} * LANES;
${walk.position()}\
        % for i in range(item_m):
        {
            const int m = m0 + ${i};
            float value = sum${i}_${j};
${walk.store(split)}\
        }
        % endfor
    }
    % endfor
}
