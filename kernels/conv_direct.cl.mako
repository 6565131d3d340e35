## conv_direct.cl.mako -- forward convolution, and backward-data as the dense stride-1 convolutions that its phases are.
##
## out[n, g * own + k, i] = epilogue(sum over c, t of w(k, c, tap t) * staged[n, g * reduced + c, BASE + j * IN_STEP + t * STEP]) per axis,
## for the outputs i = f + j * OUT_STEP of phase f. Forward: one phase of all taps, IN_STEP the stride. Backward-data: a phase for each
## residue f of i modulo the stride, with the taps that meet it and IN_STEP 1; a phase without taps stores the epilogue of 0.
## Every read lies inside `staged` (see conv_direct_stage), so that no loop tests a bound.
##
## One work-item computes tile_k channels x TILE_H rows x TILE_W vectors of LANES columns. Index space, fastest first:
##     get_global_id(0)  (depth j, phase d, row tile, phase h, column tile, phase w), the last one fastest
##     get_global_id(1)  group * channel tiles + channel tile
##     get_global_id(2)  n
## Header constants: LANES, TILE_*, per axis PHASES, OUT_STEP, IN_STEP, STEP and, by phase, BASE(f), TAPS(f), TAP0(f), TAP_STEP(f);
## SPLIT_W, KERNEL_*, READ, WRITE, READ_STAGED, ACTIVATE, vec.   Render arguments: tile_k, tile_v (vectors of a channel), bias, residual.
<%page args="tile_k, tile_v, tile_w, bias, residual"/>\
__kernel WORK_GROUP
void conv_direct(
    __global const float *restrict staged,  // N, groups, reduced, staged D, staged H, SPLIT_W, pitch
    __global const float *restrict w,      // K, C / groups, KERNEL_D, KERNEL_H, KERNEL_W
% if bias:
    __global const real *restrict bias,     // groups * own
% endif
% if residual:
    __global const real *restrict residual, // as out
% endif
    __global real *restrict out,            // N, groups * own, D, H, W
    const int groups, const int own, const int reduced,       // channels of a group: of out, summed over
    const int w_group, const int w_own, const int w_reduced,  // elements of w from one to the next
    const int depth, const int height, const int width,       // of out
    const int staged_depth, const int staged_height, const int pitch,
    const int tiles_d, const int tiles_h, const int tiles_w, const int tiles_k)
{
    int rest = get_global_id(0);
    const int phase_w = rest % PHASES_W;
    rest /= PHASES_W;
    const int tile_w = rest % tiles_w;
    rest /= tiles_w;
    const int phase_h = rest % PHASES_H;
    rest /= PHASES_H;
    const int tile_h = rest % tiles_h;
    rest /= tiles_h;
    const int phase_d = rest % PHASES_D;
    const int tile_d = rest / PHASES_D;
    if (tile_d >= tiles_d) return;
    const int group = get_global_id(1) / tiles_k;
    const int k0 = get_global_id(1) % tiles_k * TILE_K;
    const int n = get_global_id(2);

    const int row_size = SPLIT_W * pitch;
    const int plane_size = staged_depth * staged_height * row_size;
    __global const float *restrict plane = staged + (n * groups + group) * reduced * plane_size
        + ((tile_d * IN_STEP_D + BASE_D(phase_d)) * staged_height + tile_h * TILE_H * IN_STEP_H + BASE_H(phase_h)) * row_size
        + tile_w * TILE_W * LANES;
    // A channel beyond the group's last repeats the last one and is not stored.
% for k in range(tile_k):
    __global const float *restrict w_${k} = w + group * w_group + (k0 + ${k} < own ? k0 + ${k} : own - 1) * w_own;
% endfor
% for k in range(tile_k):
    vec ${", ".join(f"sum_{k}_{v} = 0.0f" for v in range(tile_v))};
% endfor

    for (int c = 0; c < reduced; ++c, plane += plane_size) {
        for (int td = 0; td < TAPS_D(phase_d); ++td) {
            for (int th = 0; th < TAPS_H(phase_h); ++th) {
                __global const float *restrict row = plane + (td * STEP_D * staged_height + th * STEP_H) * row_size;
                const int tap0 = c * w_reduced + TAP0_W(phase_w)
                    + ((TAP0_D(phase_d) + td * TAP_STEP_D(phase_d)) * KERNEL_H + TAP0_H(phase_h) + th * TAP_STEP_H(phase_h)) * KERNEL_W;
                #pragma unroll 8
                for (int tw = 0; tw < TAPS_W(phase_w); ++tw) {
                    const int column = BASE_W(phase_w) + tw * STEP_W;
                    __global const float *restrict from = row + column % SPLIT_W * pitch + column / SPLIT_W;
                    const int tap = tap0 + tw * TAP_STEP_W(phase_w);
                % for v in range(tile_v):
                    const vec x_${v} = READ_STAGED(from + ${v // tile_w} * IN_STEP_H * row_size + ${v % tile_w} * LANES);
                % endfor
                % for k in range(tile_k):
                    const float weight_${k} = w_${k}[tap];
                % for v in range(tile_v):
                    sum_${k}_${v} += x_${v} * weight_${k};
                % endfor
                % endfor
                }
            }
        }
    }

    vec sums[TILE_K][TILE_H * TILE_W];
% for k in range(tile_k):
% for v in range(tile_v):
    sums[${k}][${v}] = sum_${k}_${v};
% endfor
% endfor
    const int z = phase_d + tile_d * OUT_STEP_D;
    if (z >= depth) return;
    for (int k = 0; k < TILE_K && k0 + k < own; ++k) {
        const int channel = group * own + k0 + k;
        for (int v = 0; v < TILE_H * TILE_W; ++v) {
            const int y = phase_h + (tile_h * TILE_H + v / TILE_W) * OUT_STEP_H;
            const int x0 = phase_w + (tile_w * TILE_W + v % TILE_W) * LANES * OUT_STEP_W;
            if (y >= height || x0 >= width) continue;
            const int at = (((n * groups * own + channel) * depth + z) * height + y) * width + x0;
            const int left = (width - x0 + OUT_STEP_W - 1) / OUT_STEP_W;
            vec value = sums[k][v];
        % if bias:
            value += LOAD(bias, channel);
        % endif
            if (left >= LANES && (OUT_STEP_W == 1 || LANES == 1)) {
            % if residual:
                value += READ(residual + at);
            % endif
                WRITE(ACTIVATE(value), out + at);
            } else {
                float lanes[LANES];
            % if residual:
                for (int l = 0; l < LANES; ++l) lanes[l] = l < left ? LOAD(residual, at + l * OUT_STEP_W) : 0.0f;
                value += READ_LANES(lanes);
            % endif
                WRITE_LANES(ACTIVATE(value), lanes);
                for (int l = 0; l < LANES && l < left; ++l) STORE(out, at + l * OUT_STEP_W, lanes[l]);
            }
        }
    }
}
