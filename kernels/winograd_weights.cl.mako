## winograd_weights.cl.mako -- convolution weights into the domain of products: U = G g G^T for every pair of channels.
##
## One work-item transforms the weights of one run of `wide` output channels and `each` input channels, BLOCK output channels at once, and
## writes a run of each product. Index space, fastest first:
##     get_global_id(0)  block of `each` input channels: the lines of memory that one channel shares with its neighbours are read once
##     get_global_id(1)  group * channel tiles + channel tile
## The plain weights of a group are read as outputs x inputs x taps with steps of their own, so that turning the kernel and swapping the
## channels is only another choice of steps.
##
## The rows of G of all tile sizes stand below one another in a table, so that one kernel transforms for all of them: written out, each would
## take half a second to compile.
##
## With `recalls`, products of the last run are in y, and the weights they were made from in `seen`: a work-item whose weights are the same,
## bit by bit, is done. Comparing reads twice the weights, where transforming writes four times as much as they are and more.
##
## Header constants: BLOCK, TAPS_H, TAPS_W.   Render arguments: block; maps: the tables of rows and of columns; recalls.
<%!
    def entries(matrix):
        return ", ".join(f"{float(value)!r}f" for row in matrix for value in row)
%>\
<%page args="block, maps, recalls"/>\
<%def name="pieces(statement)">\
    for (int piece = 0; piece < pieces; ++piece) {
        __global const int *given = (__global const int *)x + begin + piece * piece_step;
        __global int *kept = (__global int *)seen + begin + piece * piece_step;
        int i = 0;
        for (; i + BLOCK <= length; i += BLOCK)
            ${statement(f"vload{block}(0, given + i)", f"vload{block}(0, kept + i)", lambda value: f"vstore{block}({value}, 0, kept + i)", "changes")};
        for (; i < length; ++i)
            ${statement("given[i]", "kept[i]", lambda value: f"kept[i] = {value}", "change")};
    }
</%def>\
__kernel WORK_GROUP
void winograd_weights(
    __global const float *restrict x,    // groups, then outputs and inputs in either order, taps
    __global float *restrict y,          // groups, channel tiles, products, inputs, wide
    % if recalls:
    __global float *restrict seen,       // as x
    % endif
    const int outputs, const int inputs, // of one group
    const int wide, const int each,
    const int output_step, const int input_step,
    const int tap0, const int tap_step,  // where tap 0 lies, and how far it is to the next
    const int first_h, const int first_w,        // rows of the tables where G begins
    const int products_h, const int products_w)  // and how many they are
{
    const float rows[] = {${entries(maps[0])}};
    const float columns[] = {${entries(maps[1])}};
    const int channel_tiles = (outputs + wide - 1) / wide;
    const int first_input = (int)get_global_id(0) * each;
    if (first_input >= inputs) return;
    const int last_input = min(first_input + each, inputs);
    const int group = (int)get_global_id(1) / channel_tiles;
    const int first = ((int)get_global_id(1) - group * channel_tiles) * wide;
    const int step = inputs * wide;
    % if recalls:

    // The weights of this work-item are pieces of memory, each of one output channel or of one input channel.
    const int channels = min(outputs - first, wide), is_by_output = input_step < output_step;
    const int pieces = is_by_output ? channels : last_input - first_input;
    const int length = (is_by_output ? last_input - first_input : channels) * (TAPS_H * TAPS_W);
    const int piece_step = is_by_output ? output_step : input_step;
    const size_t begin = (size_t)group * outputs * inputs * (TAPS_H * TAPS_W) + first * output_step + first_input * input_step;
    int${block} changes = (int${block})(0);
    int change = 0;
${pieces(lambda given, kept, store, changed: f"{changed} |= {given} ^ {kept}")}\
    if (!change && !any(changes != (int${block})(0))) return;
    % endif

    for (int o = first; o < first + wide; o += BLOCK) {
        // Channels that only fill up a tile are zero, whatever the weights of the last one are.
        % for lane in range(block):
        const int at${lane} = min(o + ${lane}, outputs - 1) * output_step;
        % endfor
        const int${block} live = (int${block})(${", ".join(f"o + {lane} < outputs ? -1 : 0" for lane in range(block))});
        for (int input = first_input; input < last_input; ++input) {
            __global const float *taps = x + (size_t)group * outputs * inputs * (TAPS_H * TAPS_W) + (size_t)input * input_step + tap0;
            __global float *run = y + (get_global_id(1) * products_h * products_w * inputs + input) * (size_t)wide + (o - first);
            vec kernel_taps[TAPS_H * TAPS_W];
            #pragma unroll 1
            for (int t = 0; t < TAPS_H * TAPS_W; ++t) {
                kernel_taps[t] = live ? (vec)(${", ".join(f"taps[at{lane}]" for lane in range(block))}) : (vec)(0.0f);
                taps += tap_step;
            }
            #pragma unroll 1
            for (int i = 0; i < products_h; ++i) {
                vec sums[TAPS_W];
                for (int s = 0; s < TAPS_W; ++s) {
                    sums[s] = (vec)(0.0f);
                    for (int r = 0; r < TAPS_H; ++r)
                        sums[s] += rows[(first_h + i) * TAPS_H + r] * kernel_taps[r * TAPS_W + s];
                }
                #pragma unroll 1
                for (int j = 0; j < products_w; ++j) {
                    vec sum = (vec)(0.0f);
                    for (int s = 0; s < TAPS_W; ++s)
                        sum += columns[(first_w + j) * TAPS_W + s] * sums[s];
                    *(__global vec *)run = sum;
                    run += step;
                }
            }
        }
    }
    % if recalls:
${pieces(lambda given, kept, store, changed: store(given))}\
    % endif
}
