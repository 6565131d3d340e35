## conv_gemm_weights.cl.mako -- the weight gradient as a product of matrices that are never stored (see gemm.cl.mako).
##
## m: filter. n: channel, tap. k: image, row, column. a: output gradient. b: input.
## Index spaces:
##     get_group_id(0)  tile of n (with `flat` False: tap * channel tiles + channel tile)
##     get_group_id(1)  group * tiles of m + tile of m
##     get_group_id(2)  part of the sum over k
##
## `flat`: n runs through channels and taps one by one, for few channels; else a tile has one tap.
## `bounds`: something is read outside of the map. `ragged`: the last filters do not fill a tile.
##
## Header constants: those of gemm.cl.mako.   Render arguments: flat, bounds, ragged, item_m, item_n, loads_a, loads_b (of a work-item a step).
<%page args="flat, bounds, ragged, item_m, item_n, loads_a, loads_b"/>\
<%namespace name="gemm" file="gemm.cl.mako"/>\
<%def name="fetch()">\
        {
            const int live = k < k_end;
            a_holds = live;
            % if not ragged:
            const OFFSET a_at = live ? gradient_at : 0;
            % endif
            % for j in range(loads_a):
            % if ragged:
            next_a${j} = LOAD_AT(gradient, START(gradient), live ? gradient_at + a${j}_row : 0);
            % else:
            next_a${j} = LOAD_AT(gradient, START(gradient) + ${f"STEP({j} * (GROUP / TILE_K) * pixels)" if j else "0"}, a_at);
            % endif
            % endfor
            % if flat:
            % for j in range(loads_b):
            b${j}_holds = live${f" & ((uint)(y + b{j}_down) < (uint)height) & ((uint)(x + b{j}_right) < (uint)width)" if bounds else ""};
            next_b${j} = LOAD_AT(source, START(source), b${j}_holds ? source_at + b${j}_from : 0);
            % endfor
            % else:
            holds = live${" & ((uint)y < (uint)height) & ((uint)x < (uint)width)" if bounds else ""};
            const OFFSET b_at = holds ? source_at : 0;
            % for j in range(loads_b):
            next_b${j} = LOAD_AT(source, START(source) + ${f"STEP({j} * (GROUP / TILE_K) * plane)" if j else "0"}, b_at);
            % endfor
            % endif
            k += TILE_K;
            x += x_onwards;
            const int next_row = x >= x_end;
            x -= next_row ? x_row : 0;
            y += y_onwards + (next_row ? stride_y : 0);
            const int next_image = y >= y_end;
            y -= next_image ? y_image : 0;
            gradient_at += gradient_onwards + (next_image ? gradient_gap : 0);
            source_at += source_onwards + (next_row ? source_row : 0) + (next_image ? source_gap : 0);
        }
</%def>\
<%def name="commit(buffer)">\
        % for j in range(loads_a):
        a_slot[${buffer} * (TILE_K * PITCH_A) + ${j} * (GROUP / TILE_K)] = a_holds ? next_a${j} : 0.0f;
        % endfor
        % for j in range(loads_b):
        b_slot[${buffer} * (TILE_K * PITCH_B) + ${j} * (GROUP / TILE_K)] = ${f"b{j}_holds" if flat else "holds"} ? next_b${j} : 0.0f;
        % endfor
</%def>\
__kernel WORK_GROUP SUB_GROUP
void conv_gemm_weights(
    __global const real *restrict source,    // N, groups * channels, height, width
    __global const real *restrict gradient,  // N, groups * own, out_height, out_width
    __global float *restrict partial,        // parts, groups * own, channels, taps
    const int batch, const int groups, const int channels, const int own,   // channels and filters of a group
    const int height, const int width, const int out_height, const int out_width,
    const int stride_y, const int stride_x, const int y_begin, const int x_begin, const int y_step, const int x_step,
    const int taps_y, const int taps_x,
    const int step_image, const int step_y, const int step_x,   // TILE_K positions onwards
    const int m_tiles, const int all_positions, const int steps_each)
{
${gemm.start(item_m, item_n)}\
    const int pixels = out_height * out_width;
    const int taps = taps_y * taps_x;
    % if flat:
    const int n0 = get_group_id(0) * TILE_N;
    const int y_offset = y_begin, x_offset = x_begin;
    % else:
    const int n_tiles = (channels + TILE_N - 1) / TILE_N;
    const int tap = (int)get_group_id(0) / n_tiles;
    const int n0 = ((int)get_group_id(0) - tap * n_tiles) * TILE_N;
    const int y_offset = y_begin + tap / taps_x * y_step;
    const int x_offset = x_begin + tap % taps_x * x_step;
    % endif
    const int load_k = item % TILE_K;
    const int load_row = item / TILE_K;
    const int k_begin = get_group_id(2) * steps_each * TILE_K;
    const int k_end = min(k_begin + steps_each * TILE_K, all_positions);
    const int steps = (k_end - k_begin + TILE_K - 1) / TILE_K;
    __local float *a_slot = a_tiles + load_k * PITCH_A + load_row;
    __local float *b_slot = b_tiles + load_k * PITCH_B + load_row;

    // The position k as where it is read from, row y and column x of the input for the first tap, and what moves it TILE_K positions
    // onwards: so much at each step, more into the next row, and more into the next image.
    int k = k_begin + load_k;
    const int image = k / pixels;
    const int out_y = (k - image * pixels) / out_width;
    const int out_x = k - image * pixels - out_y * out_width;
    int y = out_y * stride_y + y_offset;
    int x = out_x * stride_x + x_offset;
    const int x_onwards = step_x * stride_x, x_row = out_width * stride_x, x_end = x_row + x_offset;
    const int y_onwards = step_y * stride_y, y_image = out_height * stride_y, y_end = y_image + y_offset;
    const int gap = (groups * own - 1) * pixels;
    const OFFSET gradient_onwards = (OFFSET)(TILE_K + step_image * gap) * SIZE, gradient_gap = (OFFSET)gap * SIZE;
    const int image_size = groups * channels * plane;
    const OFFSET source_onwards = (OFFSET)(step_image * image_size + y_onwards * width + x_onwards) * SIZE;
    const OFFSET source_row = (OFFSET)(stride_y * width - x_row) * SIZE, source_gap = (OFFSET)(image_size - y_image * width) * SIZE;
    OFFSET gradient_at = (OFFSET)((image * groups + group) * own * pixels + out_y * out_width + out_x${"" if ragged else " + (m0 + load_row) * pixels"}) * SIZE;
    OFFSET source_at = (OFFSET)((image * groups + group) * channels * plane + y * width + x${"" if flat else " + (n0 + load_row) * plane"}) * SIZE;

    float ${", ".join([f"next_a{j}" for j in range(loads_a)] + [f"next_b{j}" for j in range(loads_b)])};
    int a_holds;
    % if ragged:
    // A filter beyond the last repeats it and is not stored.
    % for j in range(loads_a):
    const OFFSET a${j}_row = (OFFSET)(min(m0 + load_row + ${j} * (GROUP / TILE_K), own - 1) * pixels) * SIZE;
    % endfor
    % endif
    % if flat:
    % for j in range(loads_b):
    OFFSET b${j}_from;
    int b${j}_down, b${j}_right;
    {
        const int n = min(n0 + load_row + ${j} * (GROUP / TILE_K), channels * taps - 1);
        const int c = n / taps;
        const int t = (n - c * taps) / taps_x;
        b${j}_down = t * y_step;
        b${j}_right = (n - c * taps - t * taps_x) * x_step;
        b${j}_from = (OFFSET)(c * plane + b${j}_down * width + b${j}_right) * SIZE;
    }
    % endfor
    int ${", ".join(f"b{j}_holds" for j in range(loads_b))};
    % else:
    int holds;
    % endif

${gemm.pipeline(item_m, item_n, fetch, commit)}\

    __global float *out = partial + (get_group_id(2) * groups + group) * own * (size_t)(channels * taps);
    % for j in range(item_n // 4):
    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const int n = n0 + ${j} * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        % if flat:
        if (n >= channels * taps) continue;
        % endif
        % for i in range(item_m):
        {
            const int m = m0 + ${i // 4} * (TILE_M * 4 / ITEM_M) + item_row * 4 + ${i % 4};
            const float4 four = sum${i}_${j};
            if (m < own) out[m * channels * taps + ${"n" if flat else "n * taps + tap"}] = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
        }
        % endfor
    }
    % endfor
}
