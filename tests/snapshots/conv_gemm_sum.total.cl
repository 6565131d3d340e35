// conv_gemm_sum
#define ACTIVATE(v) ((v) < 0.0f ? (slope == 0.0f ? 0.0f : (v) * slope) : (v))
#define real float
#define LOAD(p, i) ((p)[i])
#define STORE(p, i, v) ((p)[i] = (v))
#define WORK_GROUP __attribute__((reqd_work_group_size(64, 1, 1)))
#define conv_gemm_sum conv_gemm_sum_de1b59aa253f

__kernel WORK_GROUP
void conv_gemm_sum(
    __global const float *restrict partial,  // parts, count
    __global const real *restrict bias,      // channels, never read without has_bias
    __global const real *restrict residual,  // count, never read without has_residual
    __global real *restrict out,             // count = N, channels, plane
    const int has_bias, const int has_residual, const float slope,   // what a sum below 0 is multiplied with
    const int parts, const int count, const int channels, const int plane)
{
    const int i = get_global_id(0);
    if (i >= count) return;
    float value = 0.0f;
    for (int part = 0; part < parts; ++part) value += partial[(size_t)part * count + i];
    if (has_bias) value += LOAD(bias, i / plane % channels);
    if (has_residual) value += LOAD(residual, i);
    STORE(out, i, ACTIVATE(value));
}

#undef ACTIVATE
#undef real
#undef LOAD
#undef STORE
#undef WORK_GROUP
#undef conv_gemm_sum
