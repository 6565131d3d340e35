## lrn_blocked.cl.mako -- local response normalisation across channels, y = x * base ^ -BETA, base = k + scale * sum of x^2 over the channels
## c - WINDOW / 2 .. c + (WINDOW - 1) / 2 that exist, on channel-blocked tensors; and its gradient, as in lrn_direct: entry lrn_blocked_terms
## makes dy * x * base ^ (-BETA - 1) and base ^ -BETA, entry lrn_blocked_backward sums the terms over the mirrored window.
##
## One work-item computes some rows of one plane of blocks. For RUN positions at a time it sums shifted vectors of this and the neighbouring
## blocks; then follows a loop over all their lanes. Index space, fastest first:
##     get_global_id(0)  run of rows
##     get_global_id(1)  channel block
##     get_global_id(2)  image
## terms, powers: N, channel blocks, positions, BLOCK   (float)
## Header constants: BLOCK, RUN, POWER(base) for base ^ -BETA, ZERO_RUN(p, n).   Render arguments: entry, shifts (Shift),
##     inlined (functions to write out: see inline_math).
<%page args="entry, shifts, inlined"/>\
<%namespace name="common" file="common.cl.mako"/>\
<%
    backward = entry == "lrn_blocked_backward"
    output = {"lrn_blocked": "y", "lrn_blocked_backward": "dx"}.get(entry)
    neighbours = sorted({block for shift in shifts for block, _ in shift.lanes})
    def name(block):
        return "own" if block == 0 else f"before{-block}" if block < 0 else f"behind{block}"
%>\
<%def name="view(name)">\
    const int ${name}_offset, const int ${name}_image, const int ${name}_plane, const int ${name}_row,
</%def>\
% if inlined:
${common.inline_math(inlined)}\
% endif
__kernel WORK_GROUP
void ${entry}(
    __global const real *restrict x,        // N, channel blocks, rows, columns, BLOCK
${view("x")}\
% if entry != "lrn_blocked":
    __global const real *restrict dy,       // as x
${view("dy")}\
% if backward:
    __global const float *restrict terms,
    __global const float *restrict powers,
% else:
    __global float *restrict terms,         // dy x base^(-BETA - 1)
    __global float *restrict powers,        // base^-BETA
% endif
% endif
% if output:
    __global real *restrict ${output},      // as x
${view(output)}\
    const int ${output}_above, const int ${output}_below, const int ${output}_left, const int ${output}_right,   // elements of halo
% endif
% if backward:
    const float factor,                     // 2 alpha BETA / WINDOW
% else:
    const float k, const float scale,       // scale: alpha / WINDOW
% endif
    const int channels,
    const int positions,                    // of a plane
    const int row_count, const int width,
    const int rows_per_item)
{
    const int row0 = (int)get_global_id(0) * rows_per_item;
    const int row1 = min(row0 + rows_per_item, row_count);
    const int block = (int)get_global_id(1);
    const int blocks = (channels + BLOCK - 1) / BLOCK;
    const int lanes = min(BLOCK, channels - block * BLOCK);
    __global const real *x_plane0 = x + get_global_id(2) * x_image + block * x_plane + x_offset;
    % if entry != "lrn_blocked":
    __global const real *dy_plane0 = dy + get_global_id(2) * dy_image + block * dy_plane + dy_offset;
    const size_t scratch0 = (get_global_id(2) * blocks + block) * positions * BLOCK;
    % endif
    % if output:
    __global real *output = ${output} + get_global_id(2) * ${output}_image + block * ${output}_plane + ${output}_offset;
    if (row0 == 0)
        ZERO_RUN(output - ${output}_above - ${output}_left, ${output}_above);
    % endif

    for (int row = row0; row < row1; ++row) {
        const int count = min(width, positions - row * width);
        % if output:
        __global real *out = output + row * ${output}_row;
        ZERO_RUN(out - ${output}_left, ${output}_left);
        % endif
        for (int first = 0; first < count; first += RUN) {
            const int run = min(RUN, count - first);
            __global const real *x_at = x_plane0 + row * x_row + first * BLOCK;
            % if entry != "lrn_blocked":
            __global const real *dy_at = dy_plane0 + row * dy_row + first * BLOCK;
            const size_t scratch = scratch0 + (size_t)(row * width + first) * BLOCK;
            % endif
            float sums[RUN * BLOCK] __attribute__((aligned(64)));
            for (int j = 0; j < run; ++j) {
                % for neighbour in neighbours:
                vec ${name(neighbour)} = (vec)(0.0f);
                % if neighbour:
                if (block + ${neighbour} >= 0 && block + ${neighbour} < blocks)
                % endif
                {
                % if backward:
                    ${name(neighbour)} = *(__global const vec *)(terms + scratch + (${neighbour} * positions + j) * BLOCK);
                % else:
                    const vec value = LOADV(x_at, ${neighbour} * x_plane + j * BLOCK);
                    ${name(neighbour)} = value * value;
                % endif
                }
                % endfor
                vec sum = (vec)(0.0f);
                % for shift in shifts:
                sum += (vec)(${", ".join(f"{name(other)}.s{lane:x}" for other, lane in shift.lanes)});
                % endfor
                *(vec *)(sums + j * BLOCK) = sum;
            }
#ifdef __clang__
#pragma clang loop vectorize(assume_safety)
#endif
            for (int i = 0; i < run * BLOCK; ++i) {
                const int live = (i & (BLOCK - 1)) < lanes;
            % if backward:
                const float value = LOAD(dy_at, i) * powers[scratch + i] - factor * LOAD(x_at, i) * sums[i];
                STORE(out, first * BLOCK + i, live ? value : 0.0f);
            % else:
                const float base = k + scale * sums[i];
                const float power = POWER(base);
            % if entry == "lrn_blocked_terms":
                const float term = LOAD(dy_at, i) * LOAD(x_at, i) * power / base;
                terms[scratch + i] = live ? term : 0.0f;
                powers[scratch + i] = power;
            % else:
                const float value = LOAD(x_at, i) * power;
                STORE(out, first * BLOCK + i, live ? value : 0.0f);
            % endif
            % endif
            }
        }
        % if output:
        ZERO_RUN(out + width * BLOCK, ${output}_right);
        % endif
    }
    % if output:
    if (row1 == row_count)
        ZERO_RUN(output + row_count * ${output}_row - ${output}_left, ${output}_below);
    % endif
}
% if inlined:
${common.undo_math(inlined)}\
% endif
