// conv_direct
#define ACTIVATE(v) (v)
#define BASE_D(f) 0
#define BASE_H(f) ((f) == 0 ? 0 : 2)
#define BASE_W(f) ((f) == 0 ? 0 : 2)
#define IN_STEP_D 1
#define IN_STEP_H 1
#define IN_STEP_W 1
#define KERNEL_D 1
#define KERNEL_H 3
#define KERNEL_W 3
#define LANES 1
#define OUT_STEP_D 1
#define OUT_STEP_H 2
#define OUT_STEP_W 2
#define PHASES_D 1
#define PHASES_H 2
#define PHASES_W 2
#define READ(p) LOAD((p), 0)
#define READ_LANES(p) (*(p))
#define READ_STAGED(p) (*(p))
#define SPLIT_W 1
#define STEP_D (1)
#define STEP_H (-1)
#define STEP_W (-1)
#define TAP0_D(f) 0
#define TAP0_H(f) 0
#define TAP0_W(f) 0
#define TAPS_D(f) 1
#define TAPS_H(f) ((f) == 0 ? 0 : 3)
#define TAPS_W(f) ((f) == 0 ? 0 : 3)
#define TAP_STEP_D(f) 1
#define TAP_STEP_H(f) 1
#define TAP_STEP_W(f) 1
#define TILE_H 1
#define TILE_K 2
#define TILE_W 1
#define WRITE(v, p) STORE((p), 0, (v))
#define WRITE_LANES(v, p) (*(p) = (v))
#define vec float
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define conv_direct conv_direct_09a105149105

__kernel WORK_GROUP
void conv_direct(
    __global const float *restrict staged,  // N, groups, reduced, staged D, staged H, SPLIT_W, pitch
    __global const float *restrict w,      // K, C / groups, KERNEL_D, KERNEL_H, KERNEL_W
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
    __global const float *restrict w_0 = w + group * w_group + (k0 + 0 < own ? k0 + 0 : own - 1) * w_own;
    __global const float *restrict w_1 = w + group * w_group + (k0 + 1 < own ? k0 + 1 : own - 1) * w_own;
    vec sum_0_0 = 0.0f;
    vec sum_1_0 = 0.0f;

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
                    const vec x_0 = READ_STAGED(from + 0 * IN_STEP_H * row_size + 0 * LANES);
                    const float weight_0 = w_0[tap];
                    sum_0_0 += x_0 * weight_0;
                    const float weight_1 = w_1[tap];
                    sum_1_0 += x_0 * weight_1;
                }
            }
        }
    }

    vec sums[TILE_K][TILE_H * TILE_W];
    sums[0][0] = sum_0_0;
    sums[1][0] = sum_1_0;
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
            if (left >= LANES && (OUT_STEP_W == 1 || LANES == 1)) {
                WRITE(ACTIVATE(value), out + at);
            } else {
                float lanes[LANES];
                WRITE_LANES(ACTIVATE(value), lanes);
                for (int l = 0; l < LANES && l < left; ++l) STORE(out, at + l * OUT_STEP_W, lanes[l]);
            }
        }
    }
}

#undef ACTIVATE
#undef BASE_D
#undef BASE_H
#undef BASE_W
#undef IN_STEP_D
#undef IN_STEP_H
#undef IN_STEP_W
#undef KERNEL_D
#undef KERNEL_H
#undef KERNEL_W
#undef LANES
#undef OUT_STEP_D
#undef OUT_STEP_H
#undef OUT_STEP_W
#undef PHASES_D
#undef PHASES_H
#undef PHASES_W
#undef READ
#undef READ_LANES
#undef READ_STAGED
#undef SPLIT_W
#undef STEP_D
#undef STEP_H
#undef STEP_W
#undef TAP0_D
#undef TAP0_H
#undef TAP0_W
#undef TAPS_D
#undef TAPS_H
#undef TAPS_W
#undef TAP_STEP_D
#undef TAP_STEP_H
#undef TAP_STEP_W
#undef TILE_H
#undef TILE_K
#undef TILE_W
#undef WRITE
#undef WRITE_LANES
#undef vec
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_direct
