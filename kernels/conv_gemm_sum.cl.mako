## conv_gemm_sum.cl.mako -- adds up the parts of sums that conv_gemm or a product of matrices has split, and finishes them.
##
## out[i] = epilogue(sum over parts of partial[part, i]). One work-item computes one element; get_global_id(0) is i.
## Header constants: LOAD, STORE, ACTIVATE, real.
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
