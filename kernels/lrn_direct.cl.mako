## lrn_direct.cl.mako -- local response normalisation across channels: y = x * base ^ -BETA, base = k + scale * sum of x^2 over the channels
## c - WINDOW / 2 .. c + (WINDOW - 1) / 2 that exist.
##
## A task is a run of TILE positions of one channel. Sums are formed anew for each channel: a running sum would keep a NaN for ever and lose
## digits where it subtracts. Backward needs the terms dy * x * base ^ (-BETA - 1) of the neighbours: entry lrn_direct_terms makes them,
## and base ^ -BETA, once; entry lrn_direct_backward sums them over the mirrored window, since channel c lies in the windows of
## c - (WINDOW - 1) / 2 .. c + WINDOW / 2. One work-item does `tasks_each` tasks. Index space:
##     get_global_id(0)  run of tasks (n, c, tile of positions)
## Header constants: WINDOW, TILE, POWER(base) for base ^ -BETA.   Render arguments: entry,
##     inlined (functions to write out: see inline_math).
<%page args="entry, inlined"/>\
<%namespace name="common" file="common.cl.mako"/>\
% if inlined:
${common.inline_math(inlined)}\
% endif
__kernel WORK_GROUP
void ${entry}(
% if entry == "lrn_direct_backward":
    __global const real *restrict x,        // N, C, positions
    __global const real *restrict dy,       // as x
    __global const float *restrict terms,   // as x
    __global const float *restrict powers,  // as x
    __global real *restrict dx,             // as x
% elif entry == "lrn_direct_terms":
    __global const real *restrict x,        // N, C, positions
    __global const real *restrict dy,       // as x
    __global float *restrict terms,         // as x: dy x base^(-BETA - 1)
    __global float *restrict powers,        // as x: base^-BETA
% else:
    __global const real *restrict x,        // N, C, positions
    __global real *restrict y,              // as x
% endif
% if entry == "lrn_direct_backward":
    const float factor,                     // 2 alpha BETA / WINDOW
% else:
    const float k, const float scale,       // scale: alpha / WINDOW
% endif
    const int batch, const int channels, const int positions,
    const int tiles, const int tasks_each)
{
    const int tasks = batch * channels * tiles;
    const int first = get_global_id(0) * tasks_each;
    for (int task = first; task < first + tasks_each && task < tasks; ++task) {
        const int position = task % tiles * TILE;
        const int c = task / tiles % channels;
        const int image = task / tiles / channels * channels;
        const int most = positions - position < TILE ? positions - position : TILE;
    % if entry == "lrn_direct_backward":
        const int below = c - (WINDOW - 1) / 2, above = c + WINDOW / 2;
    % else:
        const int below = c - WINDOW / 2, above = c + (WINDOW - 1) / 2;
    % endif
        const int begin = below > 0 ? below : 0;
        const int end = above < channels - 1 ? above : channels - 1;
        float sums[TILE];
        for (int j = 0; j < most; ++j) sums[j] = 0.0f;
        for (int neighbour = begin; neighbour <= end; ++neighbour) {
            const int from = (image + neighbour) * positions + position;
            for (int j = 0; j < most; ++j) {
            % if entry == "lrn_direct_backward":
                sums[j] += terms[from + j];
            % else:
                const float value = LOAD(x, from + j);
                sums[j] += value * value;
            % endif
            }
        }
        const int at = (image + c) * positions + position;
        for (int j = 0; j < most; ++j) {
        % if entry == "lrn_direct_backward":
            STORE(dx, at + j, LOAD(dy, at + j) * powers[at + j] - factor * LOAD(x, at + j) * sums[j]);
        % else:
            const float base = k + scale * sums[j];
            const float power = POWER(base);
        % if entry == "lrn_direct_terms":
            terms[at + j] = LOAD(dy, at + j) * LOAD(x, at + j) * power / base;
            powers[at + j] = power;
        % else:
            STORE(y, at + j, LOAD(x, at + j) * power);
        % endif
        % endif
        }
    }
}
% if inlined:
${common.undo_math(inlined)}\
% endif
