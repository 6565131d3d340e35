## conv_gemm.cl.mako -- convolution as a product of matrices that are never stored: sum[m, n] over k of a[k, m] * b[k, n].
##
##                    m                n                          k                              a                    b
## forward            output channel   image, row, column         tap, channel                   packed weights       input
## backward_data      input channel    the same of one phase      tap of the phase, filter       packed, turned       output gradient
## backward_weights   filter           channel, tap               image, row, column             output gradient      input
## products           output channel   tile                       channel                        transformed weights  transformed input
##
## A work-group of GROUP work-items sums TILE_M x TILE_N products, TILE_K steps of k at a time: they are fetched into registers while the
## steps before are multiplied, and stored into the other one of two buffers in local memory. A work-item keeps ITEM_M x ITEM_N sums.
## Index spaces:
##     get_group_id(0)  tile of n (backward_weights with `flat` False: tap * channel tiles + channel tile)
##     get_group_id(1)  group * tiles of m + tile of m
##     get_group_id(2)  part of the sum over k, where it is split; of products: which
##
## `flat`: k (backward_weights: n) runs through channels and taps one by one, for few channels; else a step has one tap, which comes
## outermost, and one test of bounds serves all its channels. `taps`: such sums have more than one tap.
## `bounds`: something is read outside of the map. `ragged`: the last channels do not fill a tile. `split`: sums go to `partial`.
## The loop always fetches, wraps around at the end and never uses what it fetched last: a branch there costs registers and spills.
## Addresses are a uniform POSITION, which the loop moves, and an OFFSET in bytes of each work-item's own: LOAD_AT(p, position, offset). A
## position is a pointer or bytes from START(p), whichever the device's compiler makes less of; STEP(n) are n elements of it.
##
## Header constants: TILE_*, ITEM_*, GROUP, PITCH_A (TILE_M and what keeps rows apart in the banks), TABLE (rows of the table for `flat`),
## LOAD_AT, LOAD4_AT, POSITION, START, STEP, OFFSET, SIZE (bytes of real), SUB_GROUP.
## Render arguments: kind ("sums", "weights" or "products", whose sizes are multiples of the tile's), flat, bounds, ragged, split, item_m, item_n, loads_a, loads_b (of a work-item a step).
<%page args="kind, flat, taps, bounds, ragged, split, item_m, item_n, loads_a, loads_b"/>\
<%!
def fragments(count):
    return range(count // 4)
%>\
<%def name="multiply()">\
            __local const float *a_now = a_tiles + buffer * (TILE_K * PITCH_A) + item_row * 4;
            __local const float *b_now = b_tiles + buffer * (TILE_K * PITCH_B) + item_column * 4;
            #pragma unroll
            for (int k = 0; k < TILE_K; ++k) {
        % for i in fragments(item_m):
                const float4 a${i} = *(__local const float4 *)(a_now + k * PITCH_A + ${i} * (TILE_M * 4 / ITEM_M));
        % endfor
        % for j in fragments(item_n):
                const float4 b${j} = *(__local const float4 *)(b_now + k * PITCH_B + ${j} * (TILE_N * 4 / ITEM_N));
        % endfor
        % for i in range(item_m):
            % for j in fragments(item_n):
                sum${i}_${j} += a${i // 4}.s${i % 4} * b${j};
            % endfor
        % endfor
            }
</%def>\
<%def name="pipeline()">\
${fetch()}\
${commit("0")}\
    barrier(CLK_LOCAL_MEM_FENCE);
    int buffer = 0;
    int step = 1;
    do {
${fetch()}\
        {
${multiply()}\
        }
        buffer ^= 1;
${commit("buffer")}\
        barrier(CLK_LOCAL_MEM_FENCE);
    } while (step++ < steps);
</%def>\
<%def name="fetch()">\
% if kind == "weights":
${fetch_weights()}\
% elif kind == "products":
        % for j in range(loads_a):
        next_a${j} = LOAD4_AT(w, w_at, (OFFSET)((item + ${j} * GROUP) * (4 * SIZE)));
        % endfor
        % for j in range(loads_b):
        next_b${j} = LOAD4_AT(data, data_at + ${f"STEP({j} * (GROUP * 4 / TILE_N) * columns)" if j else "0"}, load_at);
        % endfor
        c0 += TILE_K;
        w_at = c0 < inputs ? w_at + STEP(TILE_K * TILE_M) : w_first;
        data_at = c0 < inputs ? data_at + STEP(TILE_K * columns) : data_first;
% else:
${fetch_sums()}\
% endif
</%def>\
<%def name="commit(buffer)">\
% if kind == "weights":
${commit_weights(buffer)}\
% elif kind == "products":
        % for j in range(loads_a):
        *(__local float4 *)(a_tiles + ${buffer} * (TILE_K * PITCH_A) + (item + ${j} * GROUP) * 4) = next_a${j};
        % endfor
        % for j in range(loads_b):
        *(__local float4 *)(b_tiles + ${buffer} * (TILE_K * PITCH_B) + (item + ${j} * GROUP) * 4) = next_b${j};
        % endfor
% else:
${commit_sums(buffer)}\
% endif
</%def>\
<%def name="take_tap(indent)">\
${indent}source_at = first_at + (OFFSET)(down * width + right) * SIZE;
% if bounds:
${indent}inside = ((uint)(y0 + down) < (uint)height) & ((uint)(x0 + right) < (uint)width);
% endif
${indent}w_at = w_tile + STEP(w_tap * (TILE_K * TILE_M));
</%def>\
<%def name="fetch_sums()">\
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
        c0 += TILE_K;
        channel += STEP(TILE_K * plane);
        w_at += STEP(taps_stored * (TILE_K * TILE_M));
        if (c0 >= inputs) {
            c0 = 0;
            channel = START(source);
            % if taps:
            right += x_step;
            w_tap += tap_x_step;
            if (++tap_x == taps_x) {
                tap_x = right = 0;
                down += y_step;
                w_tap = w_row += tap_y_step;
                if (++tap_y == taps_y) {
                    tap_y = down = 0;
                    w_tap = w_row = tap0;
                }
            }
${take_tap("            ")}\
            % else:
            w_at = w_tile + STEP(tap0 * (TILE_K * TILE_M));
            % endif
        }
        % endif
</%def>\
<%def name="commit_sums(buffer)">\
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
<%def name="fetch_weights()">\
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
<%def name="commit_weights(buffer)">\
        % for j in range(loads_a):
        a_slot[${buffer} * (TILE_K * PITCH_A) + ${j} * (GROUP / TILE_K)] = a_holds ? next_a${j} : 0.0f;
        % endfor
        % for j in range(loads_b):
        b_slot[${buffer} * (TILE_K * PITCH_B) + ${j} * (GROUP / TILE_K)] = ${f"b{j}_holds" if flat else "holds"} ? next_b${j} : 0.0f;
        % endfor
</%def>\
<%def name="start()">\
    __local float a_tiles[2 * TILE_K * PITCH_A] __attribute__((aligned(16)));
    __local float b_tiles[2 * TILE_K * PITCH_B] __attribute__((aligned(16)));
    const int item = get_local_id(0);
    const int item_column = item % (TILE_N / ITEM_N);
    const int item_row = item / (TILE_N / ITEM_N);
    const int group = (int)get_group_id(1) / m_tiles;
    const int m_tile = (int)get_group_id(1) - group * m_tiles;
    const int m0 = m_tile * TILE_M;
    % if kind != "products":
    const int plane = height * width;
    % endif
    % for i in range(item_m):
    float4 ${", ".join(f"sum{i}_{j} = (float4)(0.0f)" for j in fragments(item_n))};
    % endfor
</%def>\
% if kind == "sums":
__kernel WORK_GROUP SUB_GROUP
void conv_gemm(
    __global const real *restrict source,   // N, groups * inputs, height, width
    __global const real *restrict w,        // groups, tiles of m, ${"inputs, taps_stored, TILE_M" if flat else "blocks of TILE_K inputs, taps_stored, TILE_K, TILE_M"}
    % if split:
    __global float *restrict partial,       // parts, N, groups * outputs, out_height, out_width
    % else:
    __global const real *restrict bias,     // groups * outputs, never read without has_bias
    __global const real *restrict residual, // as out, never read without has_residual
    __global real *restrict out,            // N, groups * outputs, out_height, out_width
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
    % endif
    const int batch, const int groups, const int inputs, const int outputs,   // channels of a group
    const int height, const int width, const int out_height, const int out_width,
    const int rows, const int columns,      // positions of this call: row first_y + i * out_step_y
    const int first_y, const int out_step_y, const int first_x, const int out_step_x,
    const int y_offset, const int y_stride, const int y_step, const int taps_y,   // row i, tap t read y_offset + i * y_stride + t * y_step
    const int x_offset, const int x_stride, const int x_step, const int taps_x,
    const int tap0, const int tap_y_step, const int tap_x_step, const int taps_stored,   // where tap (t, u) is stored
    const int m_tiles, const int all_steps, const int steps_each)
{
${start()}\
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
    const int steps = min(steps_each, all_steps - (int)get_group_id(2) * steps_each);
    const int first_step = steps > 0 ? (int)get_group_id(2) * steps_each : 0;

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
    int tap_y = tap / taps_x;
    int tap_x = tap - tap_y * taps_x;
    int down = tap_y * y_step, right = tap_x * x_step;
    int w_row = tap0 + tap_y * tap_y_step;
    int w_tap = w_row + tap_x * tap_x_step;
${take_tap("    ")}\
    w_at += STEP(c0 * (taps_stored * TILE_M));
    % if ragged:
    int ${", ".join(f"b{j}_holds" for j in range(loads_b))};
    % elif bounds:
    int holds;
    % endif
    % endif

${pipeline()}\

    const int out_plane = out_height * out_width;
    % for j in fragments(item_n):
    #pragma unroll
    for (int lane = 0; lane < 4; ++lane) {
        const uint n = n0 + ${j} * (TILE_N * 4 / ITEM_N) + item_column * 4 + lane;
        if (n >= total) continue;
        const int image = n / pixels;
        const int pixel = n - image * pixels;
        const int row = pixel / columns;
        const int at = (image * groups + group) * outputs * out_plane + (first_y + row * out_step_y) * out_width
            + first_x + (pixel - row * columns) * out_step_x;
        % for i in range(item_m):
        {
            const int m = m0 + ${i // 4} * (TILE_M * 4 / ITEM_M) + item_row * 4 + ${i % 4};
            const float4 four = sum${i}_${j};
            float value = lane == 0 ? four.s0 : lane == 1 ? four.s1 : lane == 2 ? four.s2 : four.s3;
            value = steps > 0 ? value : 0.0f;   // no tap meets the phase, or its parts are fewer than those of others
            if (m < outputs) {
            % if split:
                partial[(get_group_id(2) * batch * groups * outputs * (size_t)out_plane) + at + m * out_plane] = value;
            % else:
                if (has_bias) value += LOAD(bias, group * outputs + m);
                if (has_residual) value += LOAD(residual, at + m * out_plane);
                STORE(out, at + m * out_plane, ACTIVATE(value));
            % endif
            }
        }
        % endfor
    }
    % endfor
}
% elif kind == "products":
__kernel WORK_GROUP SUB_GROUP
void conv_gemm_products(
    __global const float *restrict w,      // groups, tiles of m, products, inputs, TILE_M
    __global const float *restrict data,   // products, groups, inputs, columns
    __global float *restrict sums,         // products, groups, outputs, columns
    const int groups, const int inputs, const int outputs,   // channels of a group
    const int columns, const int products, const int m_tiles)
{
${start()}\
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

${pipeline()}\

    __global float *out = sums + (product * groups + group) * outputs * (size_t)columns + n0 + item_column * 4;
    % for i in range(item_m):
    {
        const int m = m0 + ${i // 4} * (TILE_M * 4 / ITEM_M) + item_row * 4 + ${i % 4};
        if (m < outputs) {
        % for j in fragments(item_n):
            *(__global float4 *)(out + m * columns + ${j} * (TILE_N * 4 / ITEM_N)) = sum${i}_${j};
        % endfor
        }
    }
    % endfor
}
% else:
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
${start()}\
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

${pipeline()}\

    __global float *out = partial + (get_group_id(2) * groups + group) * own * (size_t)(channels * taps);
    % for j in fragments(item_n):
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
% endif
