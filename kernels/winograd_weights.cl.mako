## winograd_weights.cl.mako -- convolution weights into the domain of products: U = G g G^T for every pair of channels.
##
## One work-item transforms the weights of one run of WIDE output channels and INPUTS input channels, BLOCK output channels at once, and
## writes a run of each product. Index space, fastest first:
##     get_global_id(0)  block of INPUTS input channels: the lines of memory that one channel shares with its neighbours are read once
##     get_global_id(1)  group * channel tiles + channel tile
## The plain weights of a group are read as outputs x inputs x taps with steps of their own, so that turning the kernel and swapping the
## channels is only another choice of steps.
##
## Header constants: WIDE, INPUTS, BLOCK.   Render arguments: block; maps: the transforms G of rows and columns.
<%!
    from clconv.codegen.linear_map import transform
%>\
<%page args="block, maps"/>\
<%
    products = [len(matrix) for matrix in maps]
    taps = [len(matrix[0]) for matrix in maps]
    def lines(matrix, inputs, results):
        return "".join(" " * 12 + line + "\n" for line in transform(matrix, inputs, results))
%>\
__kernel WORK_GROUP
void winograd_weights(
    __global const float *restrict x,    // groups, then outputs and inputs in either order, taps
    __global float *restrict y,          // groups, channel tiles, products, inputs, WIDE
    const int outputs, const int inputs, // of one group
    const int output_step, const int input_step,
    const int tap0, const int tap_step)  // where tap 0 lies, and how far it is to the next
{
    const int channel_tiles = (outputs + WIDE - 1) / WIDE;
    const int first_input = (int)get_global_id(0) * INPUTS;
    if (first_input >= inputs) return;
    const int last_input = min(first_input + INPUTS, inputs);
    const int group = (int)get_global_id(1) / channel_tiles;
    const int first = ((int)get_global_id(1) - group * channel_tiles) * WIDE;
    const int step = inputs * WIDE;

    for (int o = first; o < first + WIDE; o += BLOCK) {
        // Channels that only fill up a tile are zero, whatever the weights of the last one are.
        % for lane in range(block):
        const int at${lane} = min(o + ${lane}, outputs - 1) * output_step;
        % endfor
        const int${block} live = (int${block})(${", ".join(f"o + {lane} < outputs ? -1 : 0" for lane in range(block))});
        for (int input = first_input; input < last_input; ++input) {
            __global const float *taps = x + (size_t)group * outputs * inputs * ${taps[0] * taps[1]} + (size_t)input * input_step + tap0;
            __global float *run = y + (get_global_id(1) * ${products[0] * products[1]} * inputs + input) * (size_t)WIDE + (o - first);
            % for i in range(taps[0]):
            % for j in range(taps[1]):
            const vec in${i}_${j} = live ? (vec)(${", ".join(f"taps[at{lane} + {i * taps[1] + j} * tap_step]" for lane in range(block))})
                : (vec)(0.0f);
            % endfor
            % endfor
            % for j in range(taps[1]):
${lines(maps[0], [f"in{i}_{j}" for i in range(taps[0])], [f"mid{i}_{j}" for i in range(products[0])])}\
            % endfor
            % for i in range(products[0]):
${lines(maps[1], [f"mid{i}_{j}" for j in range(taps[1])], [f"out{i}_{j}" for j in range(products[1])])}\
            % endfor
            % for i in range(products[0]):
            % for j in range(products[1]):
            *(__global vec *)(run + ${i * products[1] + j} * (size_t)step) = out${i}_${j};
            % endfor
            % endfor
        }
    }
}
